-- Numbers that move in from other carriers.

CREATE TABLE ports (
    tenant_id      UUID   NOT NULL REFERENCES tenants (id),
    id             UUID   NOT NULL,
    provider       TEXT   NOT NULL,
    account        TEXT,
    lines          JSONB  NOT NULL,
    agent_id       UUID,
    target_date    TEXT,
    status         TEXT   NOT NULL,
    carrier_status TEXT,
    signature_url  TEXT,
    reason         TEXT,
    request_id     TEXT,
    sealed_order   BYTEA,
    attempts       INTEGER NOT NULL,
    cancel         BOOLEAN NOT NULL,
    job_id         UUID   NOT NULL,
    saga_id        UUID   NOT NULL,
    checked_at     BIGINT,
    submitted_at   BIGINT,
    ended_at       BIGINT,
    created_at     BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ports_newest ON ports (tenant_id, created_at, id);
CREATE INDEX ports_unfinished ON ports (tenant_id, created_at, id)
    WHERE status NOT IN ('completed', 'canceled', 'expired', 'refused');

ALTER TABLE ports ENABLE ROW LEVEL SECURITY;
ALTER TABLE ports FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON ports TO voice_saas_app;
CREATE POLICY ports_of_tenant ON ports TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
