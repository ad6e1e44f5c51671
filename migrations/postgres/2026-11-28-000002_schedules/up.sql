-- On a secondary: when a primary is synced by the server itself.
CREATE TABLE schedules (
    primary_id     UUID NOT NULL PRIMARY KEY REFERENCES companies (id) ON DELETE CASCADE,
    cron           TEXT COLLATE "C",                 -- either this …
    zone           TEXT COLLATE "C" NOT NULL,        -- … in this zone of the IANA database,
    period_seconds BIGINT,                           -- … or this
    jitter_seconds BIGINT NOT NULL,                  -- each run may come so much later, by chance
    paused         BOOLEAN NOT NULL DEFAULT FALSE,
    next_run_at    TIMESTAMPTZ NOT NULL,
    claimed_until  TIMESTAMPTZ,                      -- a server runs it and says so again before this moment
    claim          UUID,                             -- which server
    failures       BIGINT NOT NULL DEFAULT 0,        -- one after the other
    last_run_id    UUID,
    last_error     TEXT COLLATE "C" NOT NULL DEFAULT '',
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL,
    CHECK ((cron IS NULL) <> (period_seconds IS NULL))
);
CREATE INDEX schedules_next ON schedules (next_run_at, primary_id);
