DROP TABLE outbox;
CREATE TABLE old_sync_runs (
    id             BLOB    NOT NULL PRIMARY KEY,
    primary_id     BLOB    NOT NULL,
    fence          INTEGER NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('running', 'success', 'error', 'interrupted')),
    slices_total   INTEGER NOT NULL DEFAULT 0,
    slices_changed INTEGER NOT NULL DEFAULT 0,
    slices_failed  INTEGER NOT NULL DEFAULT 0,
    grains_added   INTEGER NOT NULL DEFAULT 0,
    grains_removed INTEGER NOT NULL DEFAULT 0,
    payload_bytes  INTEGER NOT NULL DEFAULT 0,
    error          TEXT    NOT NULL DEFAULT '',
    started_at     TEXT    NOT NULL,
    finished_at    TEXT,
    UNIQUE (primary_id, fence)
) STRICT;
INSERT INTO old_sync_runs
    SELECT id, primary_id, fence, CASE WHEN state IN ('failed', 'cancelled') THEN 'error' ELSE state END, slices_total,
        slices_changed, slices_failed, grains_added, grains_removed, payload_bytes, error, started_at, finished_at
    FROM sync_runs;
DROP TABLE sync_runs;
ALTER TABLE old_sync_runs RENAME TO sync_runs;
