-- Numbers that move in from other carriers.

CREATE TABLE ports (
    tenant_id      BLOB   NOT NULL REFERENCES tenants (id),
    id             BLOB   NOT NULL,
    provider       TEXT   NOT NULL,
    account        TEXT,
    lines          TEXT   NOT NULL,
    agent_id       BLOB,
    target_date    TEXT,
    status         TEXT   NOT NULL,
    carrier_status TEXT,
    signature_url  TEXT,
    reason         TEXT,
    request_id     TEXT,
    sealed_order   BLOB,
    attempts       INTEGER NOT NULL,
    cancel         BOOLEAN NOT NULL,
    job_id         BLOB   NOT NULL,
    saga_id        BLOB   NOT NULL,
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
