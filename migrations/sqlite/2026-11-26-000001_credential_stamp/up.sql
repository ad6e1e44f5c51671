-- Another value after each transaction that changed what decides who is let in: while it is the same, a server need not read
-- anew what it has read of a credential (decision 0018). Random, so that no restored database has one twice.
CREATE TABLE credential_stamp (
    id    INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    stamp BLOB NOT NULL
) STRICT;
INSERT INTO credential_stamp (id, stamp) VALUES (1, randomblob(16));

-- As triggers, since a change by hand counts too.
CREATE TRIGGER users_stamp AFTER UPDATE OF company_id, username, email, active, role, generation, deleted_at ON users BEGIN
    UPDATE credential_stamp SET stamp = randomblob(16);
END;
CREATE TRIGGER users_removal_stamp AFTER DELETE ON users BEGIN
    UPDATE credential_stamp SET stamp = randomblob(16);
END;
CREATE TRIGGER companies_stamp AFTER UPDATE OF active ON companies BEGIN
    UPDATE credential_stamp SET stamp = randomblob(16);
END;
CREATE TRIGGER companies_removal_stamp AFTER DELETE ON companies BEGIN
    UPDATE credential_stamp SET stamp = randomblob(16);
END;
-- Uses are written to sessions and keys, and change nothing as long as they come later than those before.
CREATE TRIGGER sessions_stamp AFTER UPDATE ON sessions
WHEN (old.id, old.user_id, old.expires_at, old.ended_at)
    IS NOT
    (new.id, new.user_id, new.expires_at, new.ended_at)
    OR new.last_seen_at < old.last_seen_at BEGIN
    UPDATE credential_stamp SET stamp = randomblob(16);
END;
CREATE TRIGGER sessions_removal_stamp AFTER DELETE ON sessions BEGIN
    UPDATE credential_stamp SET stamp = randomblob(16);
END;
CREATE TRIGGER api_keys_stamp AFTER UPDATE ON api_keys
WHEN (old.key_id, old.company_id, old.user_id, old.generation, old.state, old.valid_until, old.expires_at, old.networks,
    old.secret_sha256, old.legacy_bcrypt, old.created_at, old.first_used_at, old.scan_id)
    IS NOT
    (new.key_id, new.company_id, new.user_id, new.generation, new.state, new.valid_until, new.expires_at, new.networks,
    new.secret_sha256, new.legacy_bcrypt, new.created_at, new.first_used_at, new.scan_id)
    OR new.last_used_at < old.last_used_at BEGIN
    UPDATE credential_stamp SET stamp = randomblob(16);
END;
CREATE TRIGGER api_keys_removal_stamp AFTER DELETE ON api_keys BEGIN
    UPDATE credential_stamp SET stamp = randomblob(16);
END;
CREATE TRIGGER settings_stamp AFTER UPDATE OF ring_epoch ON settings BEGIN
    UPDATE credential_stamp SET stamp = randomblob(16);
END;
