-- How a tenant came by a number and when it is to be given back; SIP trunks.

ALTER TABLE numbers ADD COLUMN owned TEXT NOT NULL DEFAULT 'bought';
ALTER TABLE numbers ADD COLUMN release_at BIGINT;
-- A number that waits for documents is nobody's yet.
DROP INDEX numbers_held;
CREATE UNIQUE INDEX numbers_held ON numbers (e164)
    WHERE status <> 'released' AND status <> 'waiting_for_documents';
CREATE INDEX numbers_waiting ON numbers (tenant_id, e164) WHERE status = 'waiting_for_documents';

CREATE TABLE trunks (
    tenant_id     BLOB   NOT NULL REFERENCES tenants (id),
    id            BLOB   NOT NULL,
    number_id     BLOB   NOT NULL,
    carrier       TEXT,
    media         TEXT   NOT NULL,
    tag           TEXT   NOT NULL,
    carrier_route TEXT,
    media_route   TEXT,
    sip_host      TEXT,
    password      BLOB   NOT NULL,
    status        TEXT   NOT NULL,
    saga_id       BLOB,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, number_id) REFERENCES numbers (tenant_id, id)
);
-- A number's calls go one way.
CREATE UNIQUE INDEX trunks_of_number ON trunks (tenant_id, number_id) WHERE status IN ('pending', 'active');
CREATE INDEX trunks_newest ON trunks (tenant_id, created_at, id) WHERE status <> 'deleted';
