-- Totals of lists come from counters: counting a million rows for each page would cost more than the page.
-- Triggers keep them, so that no way to write a table can forget them. Each total is spread over shards, so that
-- writers of one table seldom wait for each other.
CREATE TABLE row_counts (
    name  TEXT COLLATE "C" NOT NULL,
    shard BIGINT NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (name, shard)
);

CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change BIGINT;
BEGIN
    SELECT count(*) INTO change FROM changed;
    IF change > 0 THEN
        IF TG_OP = 'DELETE' THEN
            change := -change;
        END IF;
        INSERT INTO row_counts (name, shard, total) VALUES (TG_TABLE_NAME, pg_backend_pid() % 16, change)
            ON CONFLICT (name, shard) DO UPDATE SET total = row_counts.total + excluded.total;
    END IF;
    RETURN NULL;
END;
$$;

INSERT INTO row_counts (name, shard, total) SELECT 'companies', 0, count(*) FROM companies;
CREATE TRIGGER companies_count_insert AFTER INSERT ON companies
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER companies_count_delete AFTER DELETE ON companies
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows();

-- Rows that are deleted do not count.
INSERT INTO row_counts (name, shard, total) SELECT 'users', 0, count(*) FROM users WHERE deleted_at IS NULL;
CREATE FUNCTION count_users() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change BIGINT := 0;
BEGIN
    IF TG_OP <> 'DELETE' THEN
        IF new.deleted_at IS NULL THEN
            change := change + 1;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        IF old.deleted_at IS NULL THEN
            change := change - 1;
        END IF;
    END IF;
    IF change <> 0 THEN
        INSERT INTO row_counts (name, shard, total) VALUES ('users', pg_backend_pid() % 16, change)
            ON CONFLICT (name, shard) DO UPDATE SET total = row_counts.total + excluded.total;
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER users_count AFTER INSERT OR DELETE OR UPDATE OF deleted_at ON users
    FOR EACH ROW EXECUTE FUNCTION count_users();

-- Rows that are being removed do not count.
INSERT INTO row_counts (name, shard, total) SELECT 'slices', 0, count(*) FROM slices WHERE current_version >= 0;
CREATE FUNCTION count_slices() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change BIGINT := 0;
BEGIN
    IF TG_OP <> 'DELETE' THEN
        IF new.current_version >= 0 THEN
            change := change + 1;
        END IF;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        IF old.current_version >= 0 THEN
            change := change - 1;
        END IF;
    END IF;
    IF change <> 0 THEN
        INSERT INTO row_counts (name, shard, total) VALUES ('slices', pg_backend_pid() % 16, change)
            ON CONFLICT (name, shard) DO UPDATE SET total = row_counts.total + excluded.total;
    END IF;
    RETURN NULL;
END;
$$;
CREATE TRIGGER slices_count AFTER INSERT OR DELETE OR UPDATE OF current_version ON slices
    FOR EACH ROW EXECUTE FUNCTION count_slices();

INSERT INTO row_counts (name, shard, total) SELECT 'subscriptions', 0, count(*) FROM subscriptions;
CREATE TRIGGER subscriptions_count_insert AFTER INSERT ON subscriptions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER subscriptions_count_delete AFTER DELETE ON subscriptions
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows();

INSERT INTO row_counts (name, shard, total) SELECT 'activity', 0, count(*) FROM activity;
CREATE TRIGGER activity_count_insert AFTER INSERT ON activity
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
CREATE TRIGGER activity_count_delete AFTER DELETE ON activity
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_rows();

-- How many grains more (or fewer) the next version of a slice has than the published one, as it stands.
ALTER TABLE slices ADD COLUMN draft_change BIGINT NOT NULL DEFAULT 0;
UPDATE slices SET draft_change =
    (SELECT count(*) FROM grains WHERE slice_id = slices.id AND added_in = current_version + 1 AND removed_in IS NULL)
  - (SELECT count(*) FROM grains WHERE slice_id = slices.id AND removed_in = current_version + 1 AND added_in <= current_version);

-- A version in id order: with what tells whether a row belongs to it, so that skipping rows reads the index alone.
DROP INDEX grains_order;
CREATE INDEX grains_order ON grains (slice_id, id) INCLUDE (added_in, removed_in, row_id);

-- The log by time, as lists may ask for it.
CREATE INDEX activity_created ON activity (created_at, id);
