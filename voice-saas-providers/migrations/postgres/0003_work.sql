-- The ledger, and what makes work durable: sagas, jobs, the outbox, idempotency keys.

CREATE TABLE ledger (
    tenant_id      UUID   NOT NULL,
    id             UUID   NOT NULL,
    call_id        UUID   NOT NULL,
    kind           TEXT   NOT NULL,
    provider       TEXT   NOT NULL,
    quantity       BIGINT NOT NULL,
    unit           TEXT   NOT NULL,
    amount_micros  BIGINT NOT NULL,
    currency       TEXT   NOT NULL,
    rating_version TEXT   NOT NULL,
    at             BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);
CREATE UNIQUE INDEX ledger_key ON ledger (tenant_id, call_id, kind, rating_version);

CREATE TABLE sagas (
    tenant_id  UUID    NOT NULL REFERENCES tenants (id),
    id         UUID    NOT NULL,
    kind       TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    step       INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    state      JSONB   NOT NULL,
    error      JSONB,
    version    BIGINT  NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- Workers know a job by its id alone, so the id is the key; the platform's own jobs have no tenant.
CREATE TABLE jobs (
    id           UUID    NOT NULL PRIMARY KEY,
    tenant_id    UUID    REFERENCES tenants (id),
    kind         TEXT    NOT NULL,
    payload      JSONB   NOT NULL,
    state        TEXT    NOT NULL,
    run_at       BIGINT  NOT NULL,
    attempt      INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    fence        BIGINT  NOT NULL,
    lease_until  BIGINT,
    unique_key   TEXT,
    error        TEXT,
    created_at   BIGINT  NOT NULL,
    finished_at  BIGINT
);
-- NULLs are distinct in a unique index, so the platform's own jobs have an index of their own.
CREATE UNIQUE INDEX jobs_key ON jobs (tenant_id, unique_key)
    WHERE state IN ('ready', 'leased') AND tenant_id IS NOT NULL;
CREATE UNIQUE INDEX jobs_system_key ON jobs (unique_key)
    WHERE state IN ('ready', 'leased') AND tenant_id IS NULL;
CREATE INDEX jobs_ready ON jobs (run_at, id, tenant_id) WHERE state = 'ready';
CREATE INDEX jobs_ready_of_tenant ON jobs (tenant_id, run_at, id) WHERE state = 'ready';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'leased';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state = 'finished';
CREATE INDEX jobs_newest ON jobs (created_at, id);
CREATE INDEX jobs_dead ON jobs (created_at, id) WHERE state = 'dead';

CREATE TABLE outbox (
    tenant_id    UUID   NOT NULL REFERENCES tenants (id),
    id           UUID   NOT NULL,
    kind         TEXT   NOT NULL,
    payload      JSONB  NOT NULL,
    at           BIGINT NOT NULL,
    delivered_at BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX outbox_undelivered ON outbox (id) WHERE delivered_at IS NULL;

CREATE TABLE idempotency_keys (
    tenant_id    UUID    NOT NULL REFERENCES tenants (id),
    route        TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    request_hash BYTEA   NOT NULL,
    started_at   BIGINT  NOT NULL,
    status       INTEGER,
    body         BYTEA,
    PRIMARY KEY (tenant_id, route, key)
);

-- Row-level security. The ledger is append-only: nobody may change or remove an entry. A tenant enqueues jobs and
-- publishes events; workers and dispatchers, who serve all tenants, take them.

ALTER TABLE ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON ledger TO voice_saas_app;
CREATE POLICY ledger_of_tenant ON ledger TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());

ALTER TABLE sagas ENABLE ROW LEVEL SECURITY;
ALTER TABLE sagas FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON sagas TO voice_saas_app;
CREATE POLICY sagas_of_tenant ON sagas TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());

ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE jobs FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON jobs TO voice_saas_app;
CREATE POLICY jobs_of_tenant ON jobs TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO voice_saas_system;
CREATE POLICY jobs_of_system ON jobs TO voice_saas_system
    USING (TRUE);

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON outbox TO voice_saas_app;
CREATE POLICY outbox_of_tenant ON outbox TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT, UPDATE, DELETE ON outbox TO voice_saas_system;
CREATE POLICY outbox_of_system ON outbox TO voice_saas_system
    USING (TRUE);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO voice_saas_app;
CREATE POLICY idempotency_keys_of_tenant ON idempotency_keys TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT, DELETE ON idempotency_keys TO voice_saas_system;
CREATE POLICY idempotency_keys_of_system ON idempotency_keys TO voice_saas_system
    USING (TRUE);
