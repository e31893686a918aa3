-- Tenants' own accounts at carriers, and which numbers are in one.

CREATE TABLE subaccounts (
    tenant_id           BLOB   NOT NULL REFERENCES tenants (id),
    id                  BLOB   NOT NULL,
    provider            TEXT   NOT NULL,
    provider_account_id TEXT,
    secret              BLOB,
    status              TEXT   NOT NULL,
    opener_id           BLOB   NOT NULL,
    created_at          BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
-- A tenant has one at a carrier.
CREATE UNIQUE INDEX subaccounts_of_tenant ON subaccounts (tenant_id, provider) WHERE status <> 'closed';
-- An account is one tenant's, across all tenants; also the look-up of every webhook that names one.
CREATE UNIQUE INDEX subaccounts_provider ON subaccounts (provider, provider_account_id)
    WHERE provider_account_id IS NOT NULL;
-- Reconciliation walks them.
CREATE INDEX subaccounts_open ON subaccounts (provider, id) WHERE status = 'open';

-- Where it is not set, the number is in the operator's account.
ALTER TABLE numbers ADD COLUMN account TEXT;
