-- What a tenant may use, what it used, and the sums of its ledger.

-- What is there already is read as the owner of the tables, for all tenants.
ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger NO FORCE ROW LEVEL SECURITY;

CREATE TABLE entitlements (
    tenant_id     UUID   NOT NULL PRIMARY KEY REFERENCES tenants (id),
    plan          TEXT   NOT NULL,
    source        TEXT   NOT NULL,
    trial_ends_at BIGINT,
    period_from   BIGINT,
    period_until  BIGINT,
    grace_until   BIGINT,
    version       BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);
-- Tenants from before there were plans go on as they were, until an operator says otherwise.
INSERT INTO entitlements (tenant_id, plan, source, version, updated_at)
    SELECT id, 'business_enterprise', 'operator', 1, created_at FROM tenants;

-- A window is a key: what is used tomorrow is counted in another row.
CREATE TABLE usage (
    tenant_id  UUID   NOT NULL REFERENCES tenants (id),
    metric     TEXT   NOT NULL,
    window_key TEXT   NOT NULL,
    used       BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, metric, window_key)
);

-- Of each call that was admitted: where it is counted, and what was agreed.
CREATE TABLE reservations (
    tenant_id           UUID   NOT NULL,
    call_id             UUID   NOT NULL,
    state               TEXT   NOT NULL,
    day_key             TEXT   NOT NULL,
    week_key            TEXT   NOT NULL,
    month_key           TEXT   NOT NULL,
    plan                TEXT   NOT NULL,
    unit_price_micros   BIGINT,
    minute_price_micros BIGINT,
    held_micros         BIGINT,
    currency            TEXT,
    max_seconds         BIGINT,
    at                  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, call_id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES calls (tenant_id, id)
);
-- Calls that run are counted from rows.
CREATE INDEX reservations_running ON reservations (tenant_id) WHERE state = 'reserved';

-- The ledger has entries of other things than calls, and of other sums than costs.
ALTER TABLE ledger ALTER COLUMN call_id DROP NOT NULL;
ALTER TABLE ledger ADD COLUMN subject TEXT;
ALTER TABLE ledger ADD COLUMN account TEXT NOT NULL DEFAULT 'cost';
ALTER TABLE ledger ALTER COLUMN account DROP DEFAULT;
UPDATE ledger SET subject = 'call_' || replace(call_id::TEXT, '-', '');
ALTER TABLE ledger ALTER COLUMN subject SET NOT NULL;
ALTER TABLE ledger ADD FOREIGN KEY (tenant_id) REFERENCES tenants (id);
DROP INDEX ledger_key;
CREATE UNIQUE INDEX ledger_key ON ledger (tenant_id, subject, kind, rating_version);
CREATE INDEX ledger_newest ON ledger (tenant_id, at, id);

-- Kept with every entry, so that a balance is one row however many entries there are.
CREATE TABLE ledger_balances (
    tenant_id       UUID   NOT NULL REFERENCES tenants (id),
    currency        TEXT   NOT NULL,
    period          TEXT   NOT NULL,
    cost_micros     BIGINT NOT NULL,
    price_micros    BIGINT NOT NULL,
    reserved_micros BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, currency, period)
);
CREATE INDEX ledger_balances_of_period ON ledger_balances (period, tenant_id, currency);
INSERT INTO ledger_balances (tenant_id, currency, period, cost_micros, price_micros, reserved_micros)
    SELECT tenant_id, currency, 'all', sum(amount_micros), 0, 0 FROM ledger GROUP BY tenant_id, currency;
INSERT INTO ledger_balances (tenant_id, currency, period, cost_micros, price_micros, reserved_micros)
    SELECT tenant_id, currency, to_char(to_timestamp(at / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM'), sum(amount_micros), 0, 0
    FROM ledger GROUP BY 1, 2, 3;

ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE ledger FORCE ROW LEVEL SECURITY;

-- Row-level security. Registering writes a tenant's first entitlement; operators look at the sums of all tenants.

ALTER TABLE entitlements ENABLE ROW LEVEL SECURITY;
ALTER TABLE entitlements FORCE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON entitlements TO voice_saas_app;
CREATE POLICY entitlements_of_tenant ON entitlements TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT, INSERT ON entitlements TO voice_saas_system;
CREATE POLICY entitlements_of_system ON entitlements TO voice_saas_system
    USING (TRUE);

ALTER TABLE usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON usage TO voice_saas_app;
CREATE POLICY usage_of_tenant ON usage TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());

ALTER TABLE reservations ENABLE ROW LEVEL SECURITY;
ALTER TABLE reservations FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON reservations TO voice_saas_app;
CREATE POLICY reservations_of_tenant ON reservations TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());

ALTER TABLE ledger_balances ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_balances FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON ledger_balances TO voice_saas_app;
CREATE POLICY ledger_balances_of_tenant ON ledger_balances TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT ON ledger_balances TO voice_saas_system;
CREATE POLICY ledger_balances_of_system ON ledger_balances TO voice_saas_system
    USING (TRUE);
