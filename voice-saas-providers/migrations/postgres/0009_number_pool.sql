-- Numbers that the operator owns: lent to tenants, or shared by many, who are remembered by whom they called.

CREATE TABLE pool_numbers (
    id                  UUID    NOT NULL PRIMARY KEY,
    e164                TEXT    NOT NULL,
    provider            TEXT    NOT NULL,
    provider_number_id  TEXT,
    kind                TEXT    NOT NULL,
    country             TEXT    NOT NULL,
    voice               BOOLEAN NOT NULL,
    sms                 BOOLEAN NOT NULL,
    mms                 BOOLEAN NOT NULL,
    sharing             TEXT    NOT NULL,
    status              TEXT    NOT NULL,
    holder_id           UUID    REFERENCES tenants (id),
    saga_id             UUID,
    lent_at             BIGINT,
    monthly_cost_micros BIGINT,
    monthly_cost_code   TEXT,
    fill_id             UUID    NOT NULL,
    unused_since        BIGINT  NOT NULL,
    free_at             BIGINT,
    version             BIGINT  NOT NULL,
    created_at          BIGINT  NOT NULL,
    provisioned_at      BIGINT,
    retired_at          BIGINT
);
CREATE UNIQUE INDEX pool_numbers_held ON pool_numbers (e164) WHERE status <> 'retired';
CREATE INDEX pool_numbers_newest ON pool_numbers (created_at, id);
CREATE INDEX pool_numbers_fill ON pool_numbers (fill_id);
CREATE INDEX pool_numbers_retired ON pool_numbers (retired_at) WHERE status = 'retired';
-- The longest unused first.
CREATE INDEX pool_numbers_free ON pool_numbers (provider, country, kind, unused_since, id)
    WHERE status = 'free' AND sharing = 'exclusive';
CREATE INDEX pool_numbers_quarantined ON pool_numbers (free_at) WHERE status = 'quarantined';
CREATE UNIQUE INDEX pool_numbers_lent ON pool_numbers (holder_id, saga_id) WHERE status = 'lent';

-- Who contacted a peer last from a shared number.
CREATE TABLE shared_contacts (
    e164      TEXT   NOT NULL,
    peer      TEXT   NOT NULL,
    holder_id UUID   NOT NULL REFERENCES tenants (id),
    agent_id  UUID   NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (e164, peer)
);
CREATE INDEX shared_contacts_at ON shared_contacts (at);

-- Operators' tables: the application role has no grant there.

GRANT SELECT, INSERT, UPDATE ON pool_numbers TO voice_saas_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON shared_contacts TO voice_saas_system;
