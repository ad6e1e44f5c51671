-- Totals of lists come from counters: counting a million rows for each page would cost more than the page.
-- Triggers keep them, so that no way to write a table can forget them.
CREATE TABLE row_counts (
    name  TEXT    NOT NULL,
    shard INTEGER NOT NULL,                         -- PostgreSQL's writers are spread over several rows; here it is 0
    total INTEGER NOT NULL,
    PRIMARY KEY (name, shard)
) STRICT;

INSERT INTO row_counts (name, shard, total) SELECT 'companies', 0, count(*) FROM companies;
CREATE TRIGGER companies_count_insert AFTER INSERT ON companies BEGIN
    UPDATE row_counts SET total = total + 1 WHERE name = 'companies';
END;
CREATE TRIGGER companies_count_delete AFTER DELETE ON companies BEGIN
    UPDATE row_counts SET total = total - 1 WHERE name = 'companies';
END;

-- Rows that are deleted do not count.
INSERT INTO row_counts (name, shard, total) SELECT 'users', 0, count(*) FROM users WHERE deleted_at IS NULL;
CREATE TRIGGER users_count_insert AFTER INSERT ON users WHEN new.deleted_at IS NULL BEGIN
    UPDATE row_counts SET total = total + 1 WHERE name = 'users';
END;
CREATE TRIGGER users_count_update AFTER UPDATE OF deleted_at ON users BEGIN
    UPDATE row_counts SET total = total + (new.deleted_at IS NULL) - (old.deleted_at IS NULL) WHERE name = 'users';
END;
CREATE TRIGGER users_count_delete AFTER DELETE ON users WHEN old.deleted_at IS NULL BEGIN
    UPDATE row_counts SET total = total - 1 WHERE name = 'users';
END;

-- Rows that are being removed do not count.
INSERT INTO row_counts (name, shard, total) SELECT 'slices', 0, count(*) FROM slices WHERE current_version >= 0;
CREATE TRIGGER slices_count_insert AFTER INSERT ON slices WHEN new.current_version >= 0 BEGIN
    UPDATE row_counts SET total = total + 1 WHERE name = 'slices';
END;
CREATE TRIGGER slices_count_update AFTER UPDATE OF current_version ON slices BEGIN
    UPDATE row_counts SET total = total + (new.current_version >= 0) - (old.current_version >= 0) WHERE name = 'slices';
END;
CREATE TRIGGER slices_count_delete AFTER DELETE ON slices WHEN old.current_version >= 0 BEGIN
    UPDATE row_counts SET total = total - 1 WHERE name = 'slices';
END;

INSERT INTO row_counts (name, shard, total) SELECT 'subscriptions', 0, count(*) FROM subscriptions;
CREATE TRIGGER subscriptions_count_insert AFTER INSERT ON subscriptions BEGIN
    UPDATE row_counts SET total = total + 1 WHERE name = 'subscriptions';
END;
CREATE TRIGGER subscriptions_count_delete AFTER DELETE ON subscriptions BEGIN
    UPDATE row_counts SET total = total - 1 WHERE name = 'subscriptions';
END;

INSERT INTO row_counts (name, shard, total) SELECT 'activity', 0, count(*) FROM activity;
CREATE TRIGGER activity_count_insert AFTER INSERT ON activity BEGIN
    UPDATE row_counts SET total = total + 1 WHERE name = 'activity';
END;
CREATE TRIGGER activity_count_delete AFTER DELETE ON activity BEGIN
    UPDATE row_counts SET total = total - 1 WHERE name = 'activity';
END;

-- How many grains more (or fewer) the next version of a slice has than the published one, as it stands.
ALTER TABLE slices ADD COLUMN draft_change INTEGER NOT NULL DEFAULT 0;
UPDATE slices SET draft_change =
    (SELECT count(*) FROM grains WHERE slice_id = slices.id AND added_in = current_version + 1 AND removed_in IS NULL)
  - (SELECT count(*) FROM grains WHERE slice_id = slices.id AND removed_in = current_version + 1 AND added_in <= current_version);

-- A version in id order: with what tells whether a row belongs to it, so that skipping rows reads the index alone.
DROP INDEX grains_order;
CREATE INDEX grains_order ON grains (slice_id, id, added_in, removed_in);

-- The log by time, as lists may ask for it.
CREATE INDEX activity_created ON activity (created_at, id);
