-- On a secondary: when a primary is synced by the server itself.
CREATE TABLE schedules (
    primary_id     BLOB    NOT NULL PRIMARY KEY REFERENCES companies (id) ON DELETE CASCADE,
    cron           TEXT,                             -- either this …
    zone           TEXT    NOT NULL,                 -- … in this zone of the IANA database,
    period_seconds INTEGER,                          -- … or this
    jitter_seconds INTEGER NOT NULL,                 -- each run may come so much later, by chance
    paused         INTEGER NOT NULL DEFAULT 0,
    next_run_at    TEXT    NOT NULL,
    claimed_until  TEXT,                             -- a server runs it and says so again before this moment
    claim          BLOB,                             -- which server
    failures       INTEGER NOT NULL DEFAULT 0,       -- one after the other
    last_run_id    BLOB,
    last_error     TEXT    NOT NULL DEFAULT '',
    created_at     TEXT    NOT NULL,
    updated_at     TEXT    NOT NULL,
    CHECK ((cron IS NULL) <> (period_seconds IS NULL))
) STRICT;
CREATE INDEX schedules_next ON schedules (next_run_at, primary_id);
