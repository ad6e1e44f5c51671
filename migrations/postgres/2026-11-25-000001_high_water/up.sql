-- What a backup does not know: the number of all that ended or was given out so far. The data folder remembers it too, so
-- that a database which was restored from a backup is told by its lower number (decision 0017).
CREATE TABLE high_water (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    lineage  BIGINT NOT NULL,                       -- another one after each recovery
    revision BIGINT NOT NULL                        -- rises, and never falls
);
INSERT INTO high_water (id, lineage, revision) VALUES (1, 0, 0);

-- Each `recover` so far: with it a lineage began, at the revision that the backup had.
CREATE TABLE recoveries (
    number  BIGINT NOT NULL PRIMARY KEY,
    lineage BIGINT NOT NULL UNIQUE,
    base    BIGINT NOT NULL,
    covered BIGINT NOT NULL                         -- numbers that were given out up to this revision are not given again
);

-- A mailbox: triggers put in what ended, and the same transaction takes it out before it commits. No key: two
-- transactions that put in the same must not wait for each other.
CREATE TABLE deaths (
    kind TEXT COLLATE "C" NOT NULL,
    id   TEXT COLLATE "C" NOT NULL                  -- empty: it only raises the revision
);

-- Called with the kind, and the id's column for a death that has a name.
CREATE FUNCTION note_death() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    named TEXT := '';
BEGIN
    IF TG_NARGS > 1 AND TG_OP = 'DELETE' THEN
        named := to_jsonb(old) ->> TG_ARGV[1];
    ELSIF TG_NARGS > 1 THEN
        named := to_jsonb(new) ->> TG_ARGV[1];
    END IF;
    INSERT INTO deaths (kind, id) VALUES (TG_ARGV[0], replace(named, '-', ''));
    RETURN NULL;
END;
$$;

CREATE TRIGGER api_keys_death AFTER UPDATE OF state, valid_until ON api_keys
    -- Also one that was only given an end: its successor is not in the backup.
    FOR EACH ROW WHEN (new.state <> old.state OR new.valid_until < old.valid_until) EXECUTE FUNCTION note_death('api_key', 'key_id');
CREATE TRIGGER api_keys_mint AFTER INSERT ON api_keys
    FOR EACH ROW EXECUTE FUNCTION note_death('mint');
CREATE TRIGGER users_death AFTER UPDATE OF active, role, deleted_at ON users
    FOR EACH ROW WHEN (
        new.active < old.active OR new.role <> old.role OR (new.deleted_at IS NOT NULL AND old.deleted_at IS NULL)
    ) EXECUTE FUNCTION note_death('user', 'id');
-- A password that is only hashed anew at a login keeps its date.
CREATE TRIGGER users_password AFTER UPDATE OF password_hash ON users
    FOR EACH ROW WHEN (
        old.password_hash IS NOT NULL AND new.password_hash IS DISTINCT FROM old.password_hash
        AND new.password_changed IS DISTINCT FROM old.password_changed
    ) EXECUTE FUNCTION note_death('password', 'id');
CREATE TRIGGER companies_death AFTER UPDATE OF active ON companies
    FOR EACH ROW WHEN (new.active < old.active) EXECUTE FUNCTION note_death('company', 'id');
CREATE TRIGGER companies_removal AFTER DELETE ON companies
    FOR EACH ROW EXECUTE FUNCTION note_death('company', 'id');
CREATE TRIGGER sessions_death AFTER UPDATE OF ended_at ON sessions
    FOR EACH ROW WHEN (old.ended_at IS NULL AND new.ended_at IS NOT NULL) EXECUTE FUNCTION note_death('session');
CREATE TRIGGER keyring_death AFTER UPDATE OF state ON keyring
    FOR EACH ROW WHEN (new.state = 'retired' AND old.state <> 'retired')
    EXECUTE FUNCTION note_death('ring_key', 'id');
CREATE TRIGGER keyring_birth AFTER INSERT ON keyring
    FOR EACH ROW EXECUTE FUNCTION note_death('ring');
CREATE TRIGGER subscriptions_death AFTER UPDATE OF active ON subscriptions
    FOR EACH ROW WHEN (new.active < old.active) EXECUTE FUNCTION note_death('subscription', 'id');
CREATE TRIGGER subscriptions_removal AFTER DELETE ON subscriptions
    FOR EACH ROW EXECUTE FUNCTION note_death('subscription', 'id');

-- A version that is no longer the published one. A secondary gets its versions again by its next sync.
CREATE FUNCTION note_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT server_role FROM settings) = 'primary' THEN
        INSERT INTO deaths (kind, id) VALUES ('slice', replace(new.id::text, '-', ''));
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER slices_version AFTER UPDATE OF current_version ON slices
    FOR EACH ROW WHEN (new.current_version <> old.current_version) EXECUTE FUNCTION note_version();
