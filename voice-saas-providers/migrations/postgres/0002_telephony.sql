-- Numbers, agents and calls. No foreign key cascades: what costs money is never deleted in passing.

CREATE TABLE numbers (
    tenant_id           UUID    NOT NULL REFERENCES tenants (id),
    id                  UUID    NOT NULL,
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
    saga_id             UUID,
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
    tenant_id         UUID   NOT NULL REFERENCES tenants (id),
    id                UUID   NOT NULL,
    version           BIGINT NOT NULL,
    provider_agent_id TEXT,
    created_at        BIGINT NOT NULL,
    deleted           BOOLEAN NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX agents_newest ON agents (tenant_id, created_at, id) WHERE NOT deleted;

CREATE TABLE agent_versions (
    tenant_id  UUID    NOT NULL,
    agent_id   UUID    NOT NULL,
    version    BIGINT  NOT NULL,
    spec       JSONB   NOT NULL,
    active     BOOLEAN NOT NULL,
    tone       TEXT,
    provider   TEXT    NOT NULL,
    updated_at BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, agent_id, version),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
);

-- Which agents answer a number, the lowest position first.
CREATE TABLE agent_numbers (
    tenant_id UUID   NOT NULL,
    number_id UUID   NOT NULL,
    agent_id  UUID   NOT NULL,
    position  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, number_id, agent_id),
    FOREIGN KEY (tenant_id, number_id) REFERENCES numbers (tenant_id, id),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES agents (tenant_id, id)
);
CREATE INDEX agent_numbers_agent ON agent_numbers (tenant_id, agent_id);

CREATE TABLE calls (
    tenant_id        UUID    NOT NULL REFERENCES tenants (id),
    id               UUID    NOT NULL,
    direction        TEXT    NOT NULL,
    status           TEXT    NOT NULL,
    live             BOOLEAN NOT NULL,
    caller           TEXT    NOT NULL,
    callee           TEXT    NOT NULL,
    number_id        UUID,
    agent_id         UUID,
    agent_version    BIGINT,
    provider         TEXT    NOT NULL,
    provider_call_id TEXT,
    answer           JSONB,
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
    tenant_id UUID   NOT NULL,
    call_id   UUID   NOT NULL,
    sequence  BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    body      JSONB  NOT NULL,
    PRIMARY KEY (tenant_id, call_id, sequence),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);

CREATE TABLE call_transcripts (
    tenant_id UUID  NOT NULL,
    call_id   UUID  NOT NULL,
    turns     JSONB NOT NULL,
    PRIMARY KEY (tenant_id, call_id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);

CREATE TABLE unrouted_calls (
    id               UUID   NOT NULL PRIMARY KEY,
    provider         TEXT   NOT NULL,
    provider_call_id TEXT   NOT NULL,
    caller           TEXT   NOT NULL,
    callee           TEXT   NOT NULL,
    at               BIGINT NOT NULL
);
CREATE UNIQUE INDEX unrouted_calls_provider ON unrouted_calls (provider, provider_call_id);
CREATE INDEX unrouted_calls_newest ON unrouted_calls (at, id);

-- Row-level security. Calls that reached no tenant are for operators: the application role has no grant there.

ALTER TABLE numbers ENABLE ROW LEVEL SECURITY;
ALTER TABLE numbers FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON numbers TO voice_saas_app;
CREATE POLICY numbers_of_tenant ON numbers TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT ON numbers TO voice_saas_system;
CREATE POLICY numbers_of_system ON numbers TO voice_saas_system
    USING (TRUE);

ALTER TABLE agents ENABLE ROW LEVEL SECURITY;
ALTER TABLE agents FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON agents TO voice_saas_app;
CREATE POLICY agents_of_tenant ON agents TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT ON agents TO voice_saas_system;
CREATE POLICY agents_of_system ON agents TO voice_saas_system
    USING (TRUE);

ALTER TABLE agent_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_versions FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON agent_versions TO voice_saas_app;
CREATE POLICY agent_versions_of_tenant ON agent_versions TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT ON agent_versions TO voice_saas_system;
CREATE POLICY agent_versions_of_system ON agent_versions TO voice_saas_system
    USING (TRUE);

ALTER TABLE agent_numbers ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_numbers FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, DELETE ON agent_numbers TO voice_saas_app;
CREATE POLICY agent_numbers_of_tenant ON agent_numbers TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT ON agent_numbers TO voice_saas_system;
CREATE POLICY agent_numbers_of_system ON agent_numbers TO voice_saas_system
    USING (TRUE);

ALTER TABLE calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE calls FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON calls TO voice_saas_app;
CREATE POLICY calls_of_tenant ON calls TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT ON calls TO voice_saas_system;
CREATE POLICY calls_of_system ON calls TO voice_saas_system
    USING (TRUE);

ALTER TABLE call_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE call_events FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT ON call_events TO voice_saas_app;
CREATE POLICY call_events_of_tenant ON call_events TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());

ALTER TABLE call_transcripts ENABLE ROW LEVEL SECURITY;
ALTER TABLE call_transcripts FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON call_transcripts TO voice_saas_app;
CREATE POLICY call_transcripts_of_tenant ON call_transcripts TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());

GRANT SELECT, INSERT ON unrouted_calls TO voice_saas_system;
