-- Another value after each transaction that changed what decides who is let in: while it is the same, a server need not read
-- anew what it has read of a credential (decision 0018). Random, so that no restored database has one twice.
CREATE TABLE credential_stamp (
    id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    stamp UUID NOT NULL
);
INSERT INTO credential_stamp (id, stamp) VALUES (1, gen_random_uuid());

CREATE FUNCTION stamp_credentials() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Once a transaction, however many rows it changes: each time more would leave another dead row behind.
    UPDATE credential_stamp SET stamp = gen_random_uuid() WHERE xmin::text <> (txid_current() & 4294967295)::text;
    RETURN NULL;
END;
$$;

-- As triggers, since a change by hand counts too. Deferred: the stamp is the last row that a transaction takes, so it waits for
-- nobody who waits for us.
CREATE CONSTRAINT TRIGGER users_stamp
    AFTER DELETE OR UPDATE OF company_id, username, email, active, role, generation, deleted_at ON users
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamp_credentials();
CREATE CONSTRAINT TRIGGER companies_stamp AFTER DELETE OR UPDATE OF active ON companies
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamp_credentials();
CREATE CONSTRAINT TRIGGER sessions_removal_stamp AFTER DELETE ON sessions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamp_credentials();
CREATE CONSTRAINT TRIGGER api_keys_removal_stamp AFTER DELETE ON api_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamp_credentials();
-- Uses are written to both, and change nothing as long as they come later than those before.
CREATE CONSTRAINT TRIGGER sessions_stamp AFTER UPDATE ON sessions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (
        (old.id, old.user_id, old.expires_at, old.ended_at)
        IS DISTINCT FROM
        (new.id, new.user_id, new.expires_at, new.ended_at)
        OR new.last_seen_at < old.last_seen_at
    ) EXECUTE FUNCTION stamp_credentials();
CREATE CONSTRAINT TRIGGER api_keys_stamp AFTER UPDATE ON api_keys
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (
        (old.key_id, old.company_id, old.user_id, old.generation, old.state, old.valid_until, old.expires_at, old.networks,
            old.secret_sha256, old.legacy_bcrypt, old.created_at, old.first_used_at, old.scan_id)
        IS DISTINCT FROM
        (new.key_id, new.company_id, new.user_id, new.generation, new.state, new.valid_until, new.expires_at, new.networks,
            new.secret_sha256, new.legacy_bcrypt, new.created_at, new.first_used_at, new.scan_id)
        OR new.last_used_at < old.last_used_at
    ) EXECUTE FUNCTION stamp_credentials();
CREATE CONSTRAINT TRIGGER settings_stamp AFTER UPDATE OF ring_epoch ON settings
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamp_credentials();

-- Nothing of ours empties a table, but somebody in a hurry may.
CREATE TRIGGER users_emptied_stamp AFTER TRUNCATE ON users EXECUTE FUNCTION stamp_credentials();
CREATE TRIGGER sessions_emptied_stamp AFTER TRUNCATE ON sessions EXECUTE FUNCTION stamp_credentials();
CREATE TRIGGER api_keys_emptied_stamp AFTER TRUNCATE ON api_keys EXECUTE FUNCTION stamp_credentials();
