-- What a tenant may use, what it used, and the sums of its ledger.

CREATE TABLE entitlements (
    tenant_id     BLOB   NOT NULL PRIMARY KEY REFERENCES tenants (id),
    plan          TEXT   NOT NULL,
    source        TEXT   NOT NULL,
    trial_ends_at BIGINT,
    period_from   BIGINT,
    period_until  BIGINT,
    grace_until   BIGINT,
    version       BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
) WITHOUT ROWID;
-- Tenants from before there were plans go on as they were, until an operator says otherwise.
INSERT INTO entitlements (tenant_id, plan, source, version, updated_at)
    SELECT id, 'business_enterprise', 'operator', 1, created_at FROM tenants;

-- A window is a key: what is used tomorrow is counted in another row.
CREATE TABLE usage (
    tenant_id  BLOB   NOT NULL REFERENCES tenants (id),
    metric     TEXT   NOT NULL,
    window_key TEXT   NOT NULL,
    used       BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, metric, window_key)
) WITHOUT ROWID;

-- Of each call that was admitted: where it is counted, and what was agreed.
CREATE TABLE reservations (
    tenant_id           BLOB   NOT NULL,
    call_id             BLOB   NOT NULL,
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
) WITHOUT ROWID;
-- Calls that run are counted from rows.
CREATE INDEX reservations_running ON reservations (tenant_id) WHERE state = 'reserved';

-- The ledger has entries of other things than calls, and of other sums than costs.
ALTER TABLE ledger RENAME TO ledger_of_calls;
DROP INDEX ledger_key;
CREATE TABLE ledger (
    tenant_id      BLOB   NOT NULL REFERENCES tenants (id),
    id             BLOB   NOT NULL,
    subject        TEXT   NOT NULL,
    call_id        BLOB,
    account        TEXT   NOT NULL,
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
INSERT INTO ledger (tenant_id, id, subject, call_id, account, kind, provider, quantity, unit, amount_micros, currency,
        rating_version, at)
    SELECT tenant_id, id, 'call_' || lower(hex(call_id)), call_id, 'cost', kind, provider, quantity, unit, amount_micros,
        currency, rating_version, at
    FROM ledger_of_calls;
DROP TABLE ledger_of_calls;
CREATE UNIQUE INDEX ledger_key ON ledger (tenant_id, subject, kind, rating_version);
CREATE INDEX ledger_newest ON ledger (tenant_id, at, id);

-- Kept with every entry, so that a balance is one row however many entries there are.
CREATE TABLE ledger_balances (
    tenant_id       BLOB   NOT NULL REFERENCES tenants (id),
    currency        TEXT   NOT NULL,
    period          TEXT   NOT NULL,
    cost_micros     BIGINT NOT NULL,
    price_micros    BIGINT NOT NULL,
    reserved_micros BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, currency, period)
) WITHOUT ROWID;
CREATE INDEX ledger_balances_of_period ON ledger_balances (period, tenant_id, currency);
INSERT INTO ledger_balances (tenant_id, currency, period, cost_micros, price_micros, reserved_micros)
    SELECT tenant_id, currency, 'all', sum(amount_micros), 0, 0 FROM ledger GROUP BY tenant_id, currency;
INSERT INTO ledger_balances (tenant_id, currency, period, cost_micros, price_micros, reserved_micros)
    SELECT tenant_id, currency, strftime('%Y-%m', at / 1000000, 'unixepoch'), sum(amount_micros), 0, 0
    FROM ledger GROUP BY 1, 2, 3;
