-- Tenants, the people in them, and their credentials.

CREATE TABLE tenants (
    id         BLOB   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    platform   TEXT   NOT NULL,
    country    TEXT   NOT NULL,
    timezone   TEXT   NOT NULL,
    profile    TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    id            BLOB   NOT NULL PRIMARY KEY,
    email         TEXT   NOT NULL,
    name          TEXT,
    password_hash TEXT   NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (email);

CREATE TABLE members (
    tenant_id BLOB   NOT NULL REFERENCES tenants (id),
    user_id   BLOB   NOT NULL REFERENCES users (id),
    role      TEXT   NOT NULL,
    joined_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;
CREATE INDEX members_of_user ON members (user_id, joined_at);

CREATE TABLE refresh_tokens (
    hash       BLOB   NOT NULL PRIMARY KEY,
    family_id  BLOB   NOT NULL,
    user_id    BLOB   NOT NULL REFERENCES users (id),
    tenant_id  BLOB   NOT NULL REFERENCES tenants (id),
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,
    revoked_at BIGINT
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);

CREATE TABLE api_keys (
    tenant_id    BLOB   NOT NULL REFERENCES tenants (id),
    id           BLOB   NOT NULL,
    name         TEXT   NOT NULL,
    hint         TEXT   NOT NULL,
    hash         BLOB   NOT NULL,
    scopes       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at   BIGINT,
    PRIMARY KEY (tenant_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE INDEX api_keys_newest ON api_keys (tenant_id, created_at, id) WHERE revoked_at IS NULL;
