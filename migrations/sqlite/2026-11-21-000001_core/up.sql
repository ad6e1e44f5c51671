-- The tables of a Sandpiper node. Ids are 16-byte UUIDs (BLOB), times are UTC text of fixed width
-- (YYYY-MM-DDTHH:MM:SS.ffffffZ), so that both sort as PostgreSQL's uuid and timestamptz do.
-- Same tables, columns and constraints as migrations/postgres; a test compares them.

CREATE TABLE companies (
    id          BLOB    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    name_key    TEXT    NOT NULL UNIQUE,            -- the name in lower case: unique ignoring case
    sync_addr   TEXT    UNIQUE,
    active      INTEGER NOT NULL,
    key_generation     INTEGER NOT NULL DEFAULT 0,         -- generation of the newest api-key; never falls
    created_at  TEXT    NOT NULL,
    updated_at  TEXT    NOT NULL
) STRICT;

CREATE TABLE users (
    id               INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    company_id       BLOB    NOT NULL REFERENCES companies (id),
    username         TEXT    NOT NULL,
    username_key     TEXT    NOT NULL UNIQUE,
    password_hash    TEXT,                          -- bcrypt; NULL for a minted sync user
    email            TEXT    NOT NULL,
    email_key        TEXT    UNIQUE,                -- NULL for sync users
    first_name       TEXT    NOT NULL,
    last_name        TEXT    NOT NULL,
    phone            TEXT    NOT NULL,
    active           INTEGER NOT NULL,
    role             INTEGER NOT NULL,
    generation              INTEGER NOT NULL DEFAULT 0,    -- raising it ends every token of the user
    last_login       TEXT,
    password_changed TEXT,
    created_at       TEXT    NOT NULL,
    updated_at       TEXT    NOT NULL
) STRICT;
CREATE INDEX users_company ON users (company_id);
CREATE UNIQUE INDEX users_one_sync_user ON users (company_id) WHERE role = 200;

CREATE TABLE settings (
    id             INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    server_role    TEXT    NOT NULL CHECK (server_role IN ('primary', 'secondary')),
    server_id      BLOB    NOT NULL REFERENCES companies (id),
    root_key_check BLOB    NOT NULL,                -- tells a wrong root key from damage
    created_at     TEXT    NOT NULL,
    updated_at     TEXT    NOT NULL
) STRICT;

-- Secret keys of the node, each wrapped by the root key (design D5).
CREATE TABLE keyring (
    id           TEXT    NOT NULL PRIMARY KEY,
    purpose      TEXT    NOT NULL CHECK (purpose IN ('seal', 'jwt')),
    state        TEXT    NOT NULL CHECK (state IN ('prepared', 'active', 'retired')),
    wrapped      BLOB    NOT NULL,
    seals        INTEGER NOT NULL DEFAULT 0,
    created_at   TEXT    NOT NULL,
    activated_at TEXT,
    retired_at   TEXT
) STRICT;
CREATE UNIQUE INDEX keyring_one_active ON keyring (purpose) WHERE state = 'active';

CREATE TABLE sessions (
    id           BLOB    NOT NULL PRIMARY KEY,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_sha256 BLOB    NOT NULL UNIQUE,           -- of the refresh token
    created_at   TEXT    NOT NULL,
    last_seen_at TEXT    NOT NULL,
    expires_at   TEXT    NOT NULL,
    ended_at     TEXT
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_keys (
    key_id        BLOB    NOT NULL PRIMARY KEY,     -- the uuid in the user name sync_<uuid>
    company_id    BLOB    NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    user_id       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    generation           INTEGER NOT NULL,
    secret_sha256 BLOB,
    legacy_bcrypt TEXT,                             -- a key minted by the reference, until its first login
    state         TEXT    NOT NULL CHECK (state IN ('active', 'overlap', 'revoked')),
    created_at    TEXT    NOT NULL,
    created_by    TEXT    NOT NULL,
    first_used_at TEXT,
    last_used_at  TEXT,
    last_used_ip  TEXT,
    valid_until   TEXT,
    revoked_at    TEXT,
    revoked_by    TEXT,
    revoked_why   TEXT,
    UNIQUE (company_id, generation),
    CHECK (secret_sha256 IS NOT NULL OR legacy_bcrypt IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX api_keys_one_active ON api_keys (company_id) WHERE state = 'active';
CREATE INDEX api_keys_user ON api_keys (user_id);

-- Replies of POST /apikey kept for a retry with the same Idempotency-Key (design D3).
CREATE TABLE mint_replies (
    idempotency_sha256 BLOB NOT NULL PRIMARY KEY,
    key_id             BLOB NOT NULL REFERENCES api_keys (key_id) ON DELETE CASCADE,
    request_sha256     BLOB NOT NULL,
    reply              BLOB NOT NULL,
    created_at         TEXT NOT NULL,
    expires_at         TEXT NOT NULL
) STRICT;
CREATE INDEX mint_replies_key ON mint_replies (key_id);

-- A slice is a versioned set of immutable grains (design §5). `current_version` names the published one;
-- rows of the draft carry current_version + 1.
CREATE TABLE slices (
    id                BLOB    NOT NULL PRIMARY KEY,
    name              TEXT    NOT NULL,
    name_key          TEXT    NOT NULL UNIQUE,
    slice_type        TEXT    NOT NULL,
    primary_id        BLOB    REFERENCES companies (id),   -- on a secondary: whose slice it is
    epoch             BLOB    NOT NULL,
    current_version   INTEGER NOT NULL,
    allow_sync        INTEGER NOT NULL,
    lock_owner        TEXT,
    lock_expires_at   TEXT,
    sync_status       TEXT    NOT NULL CHECK (sync_status IN ('none', 'updating', 'success', 'error')),
    last_sync_attempt TEXT,
    last_good_sync    TEXT,
    created_at        TEXT    NOT NULL,
    updated_at        TEXT    NOT NULL
) STRICT;
CREATE INDEX slices_primary ON slices (primary_id) WHERE primary_id IS NOT NULL;

CREATE TABLE slice_versions (
    slice_id       BLOB    NOT NULL REFERENCES slices (id) ON DELETE CASCADE,
    version        INTEGER NOT NULL,
    grain_count    INTEGER NOT NULL,
    payload_bytes  INTEGER NOT NULL,
    content_hash   TEXT    NOT NULL,                -- the reference's SHA-1
    ids_hash       TEXT    NOT NULL,                -- the same without metadata
    set_hash       BLOB    NOT NULL,                -- LtHash16 state over grains and metadata
    digest         BLOB    NOT NULL,                -- SHA-256 of set_hash: what crosses the wire
    content_date   TEXT,                            -- NULL: never published
    source_epoch   BLOB,                            -- on a secondary: which version of the primary this is
    source_version INTEGER,
    created_at     TEXT    NOT NULL,
    PRIMARY KEY (slice_id, version)
) STRICT;

CREATE TABLE slice_metadata (
    row_id     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    slice_id   BLOB    NOT NULL REFERENCES slices (id) ON DELETE CASCADE,
    key        TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    added_in   INTEGER NOT NULL,
    removed_in INTEGER,
    CHECK (removed_in > added_in)
) STRICT;
CREATE UNIQUE INDEX slice_metadata_key ON slice_metadata (slice_id, key) WHERE removed_in IS NULL;
CREATE INDEX slice_metadata_slice ON slice_metadata (slice_id);

CREATE TABLE grains (
    row_id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    slice_id    BLOB    NOT NULL REFERENCES slices (id) ON DELETE CASCADE,
    id          BLOB    NOT NULL,
    grain_key   TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    encoding    TEXT    NOT NULL CHECK (encoding IN ('raw', 'b64', 'z64', 'a85', 'z85')),
    payload     TEXT,                               -- NULL: in grain_chunks
    payload_len INTEGER NOT NULL,                   -- characters of the payload's text, as on the wire
    payload_bytes INTEGER NOT NULL,                 -- the same in bytes of UTF-8
    digest      BLOB    NOT NULL,
    added_in    INTEGER NOT NULL,
    removed_in  INTEGER,
    created_at  TEXT    NOT NULL,
    CHECK (removed_in > added_in)
) STRICT;
-- Live grains are unique by id and by key in their slice; an id may come back after its removal.
CREATE UNIQUE INDEX grains_live_id ON grains (id, slice_id) WHERE removed_in IS NULL;
CREATE UNIQUE INDEX grains_live_key ON grains (slice_id, grain_key) WHERE removed_in IS NULL;
-- Reading a version in id order, page by page.
CREATE INDEX grains_order ON grains (slice_id, id);
-- The way from one version to another.
CREATE INDEX grains_added ON grains (slice_id, added_in, id);
CREATE INDEX grains_removed ON grains (slice_id, removed_in, id) WHERE removed_in IS NOT NULL;

-- The text of payloads over 64 KiB, in pieces of 1 MiB, so that no whole payload is one value.
CREATE TABLE grain_chunks (
    grain_row INTEGER NOT NULL REFERENCES grains (row_id) ON DELETE CASCADE,
    seq       INTEGER NOT NULL,
    data      BLOB    NOT NULL,
    PRIMARY KEY (grain_row, seq)
) STRICT;

CREATE TABLE subscriptions (
    id          BLOB    NOT NULL PRIMARY KEY,
    slice_id    BLOB    NOT NULL REFERENCES slices (id),
    company_id  BLOB    NOT NULL REFERENCES companies (id),
    name        TEXT    NOT NULL,
    name_key    TEXT    NOT NULL UNIQUE,
    description TEXT    NOT NULL,
    active      INTEGER NOT NULL,
    offered     INTEGER NOT NULL,                   -- on a secondary: what the primary last said; on a primary TRUE
    created_at  TEXT    NOT NULL,
    updated_at  TEXT    NOT NULL,
    UNIQUE (slice_id, company_id)
) STRICT;
CREATE INDEX subscriptions_company ON subscriptions (company_id);

-- The sync log. No foreign keys: the record outlives what it tells of.
CREATE TABLE activity (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    uid        BLOB    NOT NULL UNIQUE,
    company_id BLOB    NOT NULL,
    sub_id     BLOB,
    success    INTEGER NOT NULL,
    message    TEXT    NOT NULL,
    error      TEXT    NOT NULL,
    duration   INTEGER NOT NULL,                    -- nanoseconds
    created_at TEXT    NOT NULL
) STRICT;
CREATE INDEX activity_company ON activity (company_id);

-- On a secondary: the credential kept for each primary, encrypted under the root key.
CREATE TABLE partners (
    primary_id    BLOB    NOT NULL PRIMARY KEY REFERENCES companies (id) ON DELETE CASCADE,
    api_key       BLOB,                             -- the key that last logged in
    candidate_key BLOB,                             -- stored, but not yet proven by a login
    fence         INTEGER NOT NULL DEFAULT 0,       -- raised by each run; a stale holder cannot commit
    sync2         INTEGER NOT NULL DEFAULT 0,       -- it once spoke sync-2
    last_login_at TEXT,
    updated_at    TEXT    NOT NULL
) STRICT;

CREATE TABLE sync_runs (
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
