-- Numbers, agents and calls. No foreign key cascades: what costs money is never deleted in passing.

CREATE TABLE numbers (
    tenant_id           BLOB    NOT NULL REFERENCES tenants (id),
    id                  BLOB    NOT NULL,
    e164                TEXT    NOT NULL,
    provider            TEXT    NOT NULL,
    provider_number_id  TEXT,
    friendly_name       TEXT    NOT NULL,
    voice               BOOLEAN NOT NULL,
    sms                 BOOLEAN NOT NULL,
    mms                 BOOLEAN NOT NULL,
    status              TEXT    NOT NULL,
    country             TEXT    NOT NULL,
    monthly_cost_micros BIGINT,
    monthly_cost_code   TEXT,
    saga_id             BLOB,
    created_at          BIGINT  NOT NULL,
    provisioned_at      BIGINT,
    released_at         BIGINT,
    PRIMARY KEY (tenant_id, id)
);
-- One number, one holder, across all tenants; also the look-up of every incoming call.
CREATE UNIQUE INDEX numbers_held ON numbers (e164) WHERE status <> 'released';
CREATE INDEX numbers_newest ON numbers (tenant_id, created_at, id);
CREATE INDEX numbers_saga ON numbers (tenant_id, saga_id);

CREATE TABLE agents (
    tenant_id         BLOB   NOT NULL REFERENCES tenants (id),
    id                BLOB   NOT NULL,
    version           BIGINT NOT NULL,
    provider_agent_id TEXT,
    created_at        BIGINT NOT NULL,
    deleted           BOOLEAN NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID;
CREATE INDEX agents_newest ON agents (tenant_id, created_at, id) WHERE NOT deleted;

CREATE TABLE agent_versions (
    tenant_id  BLOB    NOT NULL,
    agent_id   BLOB    NOT NULL,
    version    BIGINT  NOT NULL,
    spec       TEXT    NOT NULL,
    active     BOOLEAN NOT NULL,
    tone       TEXT,
    provider   TEXT    NOT NULL,
    updated_at BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, version),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
);

-- Which agents answer a number, the lowest position first.
CREATE TABLE agent_numbers (
    tenant_id BLOB   NOT NULL,
    number_id BLOB   NOT NULL,
    agent_id  BLOB   NOT NULL,
    position  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, number_id, agent_id),
    FOREIGN KEY (tenant_id, number_id) REFERENCES numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
) WITHOUT ROWID;
CREATE INDEX agent_numbers_agent ON agent_numbers (tenant_id, agent_id);

CREATE TABLE calls (
    tenant_id        BLOB    NOT NULL REFERENCES tenants (id),
    id               BLOB    NOT NULL,
    direction        TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    live             BOOLEAN NOT NULL,
    caller           TEXT    NOT NULL,
    callee           TEXT    NOT NULL,
    number_id        BLOB,
    agent_id         BLOB,
    agent_version    BIGINT,
    provider         TEXT    NOT NULL,
    provider_call_id TEXT,
    answer           TEXT,
    conversation_id  TEXT,
    end_reason       TEXT,
    progress         BIGINT,
    started_at       BIGINT  NOT NULL,
    media_at         BIGINT,
    answered_at      BIGINT,
    ended_at         BIGINT,
    duration_seconds BIGINT,
    summary          TEXT,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, number_id) REFERENCES numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id, agent_version) REFERENCES agent_versions (tenant_id, agent_id, version)
);
-- A carrier's call has one row, across all tenants; also the look-up of every status callback.
CREATE UNIQUE INDEX calls_provider ON calls (provider, provider_call_id) WHERE provider_call_id IS NOT NULL;
CREATE INDEX calls_newest ON calls (tenant_id, started_at, id);
CREATE INDEX calls_of_agent ON calls (tenant_id, agent_id, started_at, id) WHERE agent_id IS NOT NULL;
CREATE INDEX calls_live ON calls (started_at) WHERE live;

CREATE TABLE call_events (
    tenant_id BLOB   NOT NULL,
    call_id   BLOB   NOT NULL,
    sequence  BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    body      TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, call_id, sequence),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
) WITHOUT ROWID;

CREATE TABLE call_transcripts (
    tenant_id BLOB NOT NULL,
    call_id   BLOB NOT NULL,
    turns     TEXT NOT NULL,
    PRIMARY KEY (tenant_id, call_id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);

CREATE TABLE unrouted_calls (
    id               BLOB   NOT NULL PRIMARY KEY,
    provider         TEXT   NOT NULL,
    provider_call_id TEXT   NOT NULL,
    caller           TEXT   NOT NULL,
    callee           TEXT   NOT NULL,
    at               BIGINT NOT NULL
);
CREATE UNIQUE INDEX unrouted_calls_provider ON unrouted_calls (provider, provider_call_id);
CREATE INDEX unrouted_calls_newest ON unrouted_calls (at, id);
