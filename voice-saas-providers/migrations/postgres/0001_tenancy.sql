-- Tenants, the people in them, and their credentials.
--
-- Every unit of work runs as one of two roles, neither of which owns a table or may bypass row-level security:
-- voice_saas_app sees the rows of the tenant that voice_saas.tenant names, and none while it is not set;
-- voice_saas_system serves the named cross-tenant look-ups. The login of the application must be a member of both.
-- Roles belong to the whole cluster, so another database's migration may be making them at this moment.

DO $$
DECLARE
    role TEXT;
BEGIN
    FOREACH role IN ARRAY ARRAY['voice_saas_app', 'voice_saas_system'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOBYPASSRLS', role);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE insufficient_privilege USING MESSAGE = format(
                        'the role %1$I does not exist and the login %2$I may not create it; give the login CREATEROLE '
                        'or let an administrator run: CREATE ROLE %1$I NOLOGIN; GRANT %1$I TO %2$I;',
                        role, current_user);
            END;
        END IF;
        IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = role) THEN
            RAISE EXCEPTION USING MESSAGE = format(
                'the role %1$I bypasses row-level security; run: ALTER ROLE %1$I NOSUPERUSER NOBYPASSRLS;', role);
        END IF;
        BEGIN
            EXECUTE format('GRANT %I TO CURRENT_USER', role);
        EXCEPTION
            WHEN unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                IF NOT pg_has_role(current_user, role, 'MEMBER') THEN
                    RAISE insufficient_privilege USING MESSAGE = format(
                        'the login %2$I is not a member of the role %1$I; let an administrator run: GRANT %1$I TO %2$I;',
                        role, current_user);
                END IF;
        END;
    END LOOP;
END
$$;

-- The tenant of this unit of work. PostgreSQL leaves an empty text where a transaction's setting was.
CREATE FUNCTION voice_saas_tenant() RETURNS UUID
    LANGUAGE SQL STABLE PARALLEL SAFE
    RETURN NULLIF(current_setting('voice_saas.tenant', TRUE), '')::UUID;

-- Lets a replica see, without owning anything, that the database is up to date.
GRANT SELECT ON _sqlx_migrations TO voice_saas_app, voice_saas_system;

CREATE TABLE tenants (
    id         UUID   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    platform   TEXT   NOT NULL,
    country    TEXT   NOT NULL,
    timezone   TEXT   NOT NULL,
    profile    JSONB  NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    id            UUID   NOT NULL PRIMARY KEY,
    email         TEXT   NOT NULL,
    name          TEXT,
    password_hash TEXT   NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_email ON users (email);

CREATE TABLE members (
    tenant_id UUID   NOT NULL REFERENCES tenants (id),
    user_id   UUID   NOT NULL REFERENCES users (id),
    role      TEXT   NOT NULL,
    joined_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX members_of_user ON members (user_id, joined_at);

CREATE TABLE refresh_tokens (
    hash       BYTEA  NOT NULL PRIMARY KEY,
    family_id  UUID   NOT NULL,
    user_id    UUID   NOT NULL REFERENCES users (id),
    tenant_id  UUID   NOT NULL REFERENCES tenants (id),
    expires_at BIGINT NOT NULL,
    used_at    BIGINT,
    revoked_at BIGINT
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);

CREATE TABLE api_keys (
    tenant_id    UUID   NOT NULL REFERENCES tenants (id),
    id           UUID   NOT NULL,
    name         TEXT   NOT NULL,
    hint         TEXT   NOT NULL,
    hash         BYTEA  NOT NULL,
    scopes       JSONB  NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at   BIGINT,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX api_keys_hash ON api_keys (hash);
CREATE INDEX api_keys_newest ON api_keys (tenant_id, created_at, id) WHERE revoked_at IS NULL;

-- Row-level security. What each role needs and no more. The application role reads and changes its own tenant's
-- row, sees its members (of a person: id, address and name, never the password) and keeps its API keys; refresh
-- tokens it never sees.

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
GRANT SELECT, UPDATE ON tenants TO voice_saas_app;
CREATE POLICY tenants_of_tenant ON tenants TO voice_saas_app
    USING (id = voice_saas_tenant());
GRANT SELECT, INSERT ON tenants TO voice_saas_system;
CREATE POLICY tenants_of_system ON tenants TO voice_saas_system
    USING (TRUE);

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
GRANT SELECT (id, email, name) ON users TO voice_saas_app;
CREATE POLICY users_of_tenant ON users TO voice_saas_app
    USING (EXISTS (SELECT 1 FROM members WHERE members.user_id = users.id));
GRANT SELECT, INSERT ON users TO voice_saas_system;
CREATE POLICY users_of_system ON users TO voice_saas_system
    USING (TRUE);

ALTER TABLE members ENABLE ROW LEVEL SECURITY;
ALTER TABLE members FORCE ROW LEVEL SECURITY;
GRANT SELECT ON members TO voice_saas_app;
CREATE POLICY members_of_tenant ON members TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT, INSERT ON members TO voice_saas_system;
CREATE POLICY members_of_system ON members TO voice_saas_system
    USING (TRUE);

ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_tokens FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_tokens TO voice_saas_system;
CREATE POLICY refresh_tokens_of_system ON refresh_tokens TO voice_saas_system
    USING (TRUE);

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
GRANT SELECT, INSERT, UPDATE ON api_keys TO voice_saas_app;
CREATE POLICY api_keys_of_tenant ON api_keys TO voice_saas_app
    USING (tenant_id = voice_saas_tenant());
GRANT SELECT ON api_keys TO voice_saas_system;
CREATE POLICY api_keys_of_system ON api_keys TO voice_saas_system
    USING (TRUE);
