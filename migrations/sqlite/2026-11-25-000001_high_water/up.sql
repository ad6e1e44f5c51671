-- What a backup does not know: the number of all that ended or was given out so far. The data folder remembers it too, so
-- that a database which was restored from a backup is told by its lower number (decision 0017).
CREATE TABLE high_water (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    lineage  INTEGER NOT NULL,                      -- another one after each recovery
    revision INTEGER NOT NULL                       -- rises, and never falls
) STRICT;
INSERT INTO high_water (id, lineage, revision) VALUES (1, 0, 0);

-- Each `recover` so far: with it a lineage began, at the revision that the backup had.
CREATE TABLE recoveries (
    number  INTEGER NOT NULL PRIMARY KEY,
    lineage INTEGER NOT NULL UNIQUE,
    base    INTEGER NOT NULL,
    covered INTEGER NOT NULL                        -- numbers that were given out up to this revision are not given again
) STRICT;

-- A mailbox: triggers put in what ended, and the same transaction takes it out before it commits.
CREATE TABLE deaths (
    kind TEXT NOT NULL,
    id   TEXT NOT NULL                              -- empty: it only raises the revision
) STRICT;

CREATE TRIGGER api_keys_death AFTER UPDATE OF state, valid_until ON api_keys
WHEN new.state <> old.state OR new.valid_until < old.valid_until BEGIN
    -- Also one that was only given an end: its successor is not in the backup.
    INSERT INTO deaths (kind, id) VALUES ('api_key', lower(hex(new.key_id)));
END;
CREATE TRIGGER api_keys_mint AFTER INSERT ON api_keys BEGIN
    INSERT INTO deaths (kind, id) VALUES ('mint', '');
END;
CREATE TRIGGER users_death AFTER UPDATE OF active, role, deleted_at ON users
WHEN new.active < old.active OR new.role <> old.role OR (new.deleted_at IS NOT NULL AND old.deleted_at IS NULL) BEGIN
    INSERT INTO deaths (kind, id) VALUES ('user', CAST(new.id AS TEXT));
END;
-- A password that is only hashed anew at a login keeps its date.
CREATE TRIGGER users_password AFTER UPDATE OF password_hash ON users
WHEN old.password_hash IS NOT NULL AND new.password_hash IS NOT old.password_hash
    AND new.password_changed IS NOT old.password_changed BEGIN
    INSERT INTO deaths (kind, id) VALUES ('password', CAST(new.id AS TEXT));
END;
CREATE TRIGGER companies_death AFTER UPDATE OF active ON companies WHEN new.active < old.active BEGIN
    INSERT INTO deaths (kind, id) VALUES ('company', lower(hex(new.id)));
END;
CREATE TRIGGER companies_removal AFTER DELETE ON companies BEGIN
    INSERT INTO deaths (kind, id) VALUES ('company', lower(hex(old.id)));
END;
CREATE TRIGGER sessions_death AFTER UPDATE OF ended_at ON sessions
WHEN old.ended_at IS NULL AND new.ended_at IS NOT NULL BEGIN
    INSERT INTO deaths (kind, id) VALUES ('session', '');
END;
CREATE TRIGGER keyring_death AFTER UPDATE OF state ON keyring WHEN new.state = 'retired' AND old.state <> 'retired' BEGIN
    INSERT INTO deaths (kind, id) VALUES ('ring_key', new.id);
END;
CREATE TRIGGER keyring_birth AFTER INSERT ON keyring BEGIN
    INSERT INTO deaths (kind, id) VALUES ('ring', '');
END;
CREATE TRIGGER subscriptions_death AFTER UPDATE OF active ON subscriptions WHEN new.active < old.active BEGIN
    INSERT INTO deaths (kind, id) VALUES ('subscription', lower(hex(new.id)));
END;
CREATE TRIGGER subscriptions_removal AFTER DELETE ON subscriptions BEGIN
    INSERT INTO deaths (kind, id) VALUES ('subscription', lower(hex(old.id)));
END;
-- A version that is no longer the published one. A secondary gets its versions again by its next sync.
CREATE TRIGGER slices_version AFTER UPDATE OF current_version ON slices
WHEN new.current_version <> old.current_version AND (SELECT server_role FROM settings) = 'primary' BEGIN
    INSERT INTO deaths (kind, id) VALUES ('slice', lower(hex(new.id)));
END;
