-- How a tenant came by a number and when it is to be given back; SIP trunks.

ALTER TABLE numbers ADD COLUMN owned TEXT NOT NULL DEFAULT 'bought';
ALTER TABLE numbers ADD COLUMN release_at BIGINT;
-- A number that waits for documents is nobody's yet.
DROP INDEX numbers_held;
CREATE UNIQUE INDEX numbers_held ON numbers (e164)
    WHERE status <> 'released' AND status <> 'waiting_for_documents';
CREATE INDEX numbers_waiting ON numbers (tenant_id, e164) WHERE status = 'waiting_for_documents';

CREATE TABLE trunks (
    tenant_id     UUID   NOT NULL REFERENCES tenants (id),
    id            UUID   NOT NULL,
    number_id     UUID   NOT NULL,
    carrier       TEXT,
    media         TEXT   NOT NULL,
    tag           TEXT   NOT NULL,
    carrier_route JSONB,
    media_route   JSONB,
    sip_host      TEXT,
    password      BYTEA  NOT NULL,
    status        TEXT   NOT NULL,
    saga_id       UUID,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, number_id) REFERENCES numbers (tenant_id, id)
);
-- A number's calls go one way.
CREATE UNIQUE INDEX trunks_of_number ON trunks (tenant_id, number_id) WHERE status IN ('pending', 'active');
CREATE INDEX trunks_newest ON trunks (tenant_id, created_at, id) WHERE status <> 'deleted';

ALTER TABLE trunks ENABLE ROW LEVEL SECURITY;
ALTER TABLE trunks FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON trunks TO voice_saas_app;
CREATE POLICY trunks_of_tenant ON trunks TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT ON trunks TO voice_saas_system;
CREATE POLICY trunks_of_system ON trunks TO voice_saas_system
    USING (TRUE);
