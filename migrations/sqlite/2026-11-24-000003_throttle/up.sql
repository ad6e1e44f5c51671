-- Wrong passwords, counted for a day: by name and place, and by account. What a key stands for cannot be read from it.
CREATE TABLE login_failures (
    id        BLOB NOT NULL PRIMARY KEY,
    failures  INTEGER NOT NULL,
    first_at  TEXT NOT NULL,
    last_at   TEXT NOT NULL
) STRICT;
CREATE INDEX login_failures_first_at ON login_failures (first_at);
-- Where a user has logged in from lately: the limit on failures of his account does not hold there.
CREATE TABLE login_sources (
    user_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    source   TEXT NOT NULL,
    last_at  TEXT NOT NULL,
    PRIMARY KEY (user_id, source)
) STRICT;
