-- A run says how far it is while it lasts, can be told to stop, and keeps what became of each slice.
CREATE TABLE new_sync_runs (
    id               BLOB    NOT NULL PRIMARY KEY,
    primary_id       BLOB    NOT NULL,
    fence            INTEGER NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('running', 'success', 'failed', 'cancelled', 'interrupted')),
    slices_total     INTEGER NOT NULL DEFAULT 0,
    slices_changed   INTEGER NOT NULL DEFAULT 0,
    slices_failed    INTEGER NOT NULL DEFAULT 0,
    grains_added     INTEGER NOT NULL DEFAULT 0,
    grains_removed   INTEGER NOT NULL DEFAULT 0,
    payload_bytes    INTEGER NOT NULL DEFAULT 0,
    error            TEXT    NOT NULL DEFAULT '',
    started_at       TEXT    NOT NULL,
    finished_at      TEXT,
    asked_by         TEXT    NOT NULL DEFAULT '',   -- a user name, "command line" or "schedule"
    slice            TEXT    NOT NULL DEFAULT '',   -- the one that travels
    slices_done      INTEGER NOT NULL DEFAULT 0,
    grains_done      INTEGER NOT NULL DEFAULT 0,
    grains_total     INTEGER NOT NULL DEFAULT 0,    -- as far as it is known
    bytes_done       INTEGER NOT NULL DEFAULT 0,
    bytes_total      INTEGER NOT NULL DEFAULT 0,
    bytes_per_second INTEGER NOT NULL DEFAULT 0,
    touched_at       TEXT,                          -- its last sign of life
    cancel_asked     INTEGER NOT NULL DEFAULT 0,    -- it is to stop
    results          TEXT,                          -- JSON: what became of each slice
    hook_error       TEXT    NOT NULL DEFAULT '',   -- why the hook after it failed
    UNIQUE (primary_id, fence)
) STRICT;
INSERT INTO new_sync_runs (id, primary_id, fence, state, slices_total, slices_changed, slices_failed, grains_added,
        grains_removed, payload_bytes, error, started_at, finished_at, slices_done)
    SELECT id, primary_id, fence, CASE state WHEN 'error' THEN 'failed' ELSE state END, slices_total, slices_changed,
        slices_failed, grains_added, grains_removed, payload_bytes, error, started_at, finished_at, slices_total
    FROM sync_runs;
DROP TABLE sync_runs;
ALTER TABLE new_sync_runs RENAME TO sync_runs;
CREATE INDEX sync_runs_started ON sync_runs (started_at, id);
CREATE INDEX sync_runs_primary ON sync_runs (primary_id, started_at, id);

-- Records of the sync log that the primary has not taken yet, in the order in which it is to get them.
CREATE TABLE outbox (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    primary_id BLOB    NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    record     TEXT    NOT NULL,                    -- JSON
    attempts   INTEGER NOT NULL DEFAULT 0,          -- how often the primary failed to take it
    created_at TEXT    NOT NULL
) STRICT;
CREATE INDEX outbox_primary ON outbox (primary_id, id);
