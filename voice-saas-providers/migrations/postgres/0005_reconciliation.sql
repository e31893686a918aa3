-- What exists at providers against what the store says: findings for operators, and how far jobs have come.

ALTER TABLE jobs ADD COLUMN progress JSONB;

CREATE TABLE reconciliation_findings (
    id                  UUID   NOT NULL PRIMARY KEY,
    provider            TEXT   NOT NULL,
    kind                TEXT   NOT NULL,
    provider_id         TEXT   NOT NULL,
    classification      TEXT   NOT NULL,
    subject             TEXT   NOT NULL,
    detail              TEXT   NOT NULL,
    holder_id           UUID   REFERENCES tenants (id),
    proposal            TEXT   NOT NULL,
    held_since          BIGINT,
    monthly_cost_micros BIGINT,
    monthly_cost_code   TEXT,
    state               TEXT   NOT NULL,
    resolution          TEXT,
    created_at          BIGINT NOT NULL,
    seen_at             BIGINT NOT NULL,
    resolved_at         BIGINT
);
-- The same disagreement is one finding, however often it is seen.
CREATE UNIQUE INDEX reconciliation_findings_key
    ON reconciliation_findings (provider, kind, provider_id, classification);
CREATE INDEX reconciliation_findings_newest ON reconciliation_findings (created_at, id);
CREATE INDEX reconciliation_findings_open ON reconciliation_findings (provider, kind, seen_at) WHERE state = 'open';

-- What a run has seen so far: what is not here at its end is missing. Emptied when the run is over.
CREATE TABLE reconciliation_seen (
    run_id      UUID NOT NULL,
    provider    TEXT NOT NULL,
    kind        TEXT NOT NULL,
    provider_id TEXT NOT NULL,
    PRIMARY KEY (run_id, provider, kind, provider_id)
);

-- A provider names no tenant: these look-ups go by what it does name.
CREATE INDEX numbers_active ON numbers (provider, id) WHERE status = 'active';
CREATE INDEX numbers_released ON numbers (released_at) WHERE status = 'released';
CREATE INDEX agents_by_id ON agents (id);
CREATE INDEX trunks_by_id ON trunks (id);
CREATE INDEX sagas_by_id ON sagas (id);

-- Operators' tables: the application role has no grant there.

GRANT SELECT, INSERT, UPDATE ON reconciliation_findings TO voice_saas_system;
GRANT SELECT, INSERT, DELETE ON reconciliation_seen TO voice_saas_system;

-- Who bought what bears a saga's id at a provider.
GRANT SELECT ON sagas TO voice_saas_system;
CREATE POLICY sagas_of_system ON sagas TO voice_saas_system
    USING (TRUE);
