-- On a primary: which version of a slice a receiver has, as far as it is known. One row for each company that ever
-- reported or, over the reference's wire, asked. The version is ours: number, epoch and digest were compared.
CREATE TABLE receipts (
    slice_id    BLOB    NOT NULL REFERENCES slices (id) ON DELETE CASCADE,
    company_id  BLOB    NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    version     INTEGER,                            -- NULL: none known
    inferred    INTEGER NOT NULL,                   -- from a report of success that named no version
    reported_at TEXT,                               -- when this version was first reported
    offered     INTEGER,                            -- the version that a receiver of the reference was last told of
    error       TEXT    NOT NULL,                   -- why the last report was a failure; empty: it was none
    error_at    TEXT,                               -- since when it fails with that
    PRIMARY KEY (slice_id, company_id)
) STRICT;
CREATE INDEX receipts_company ON receipts (company_id);

-- When a receiver last asked for its subscriptions, coarsely: one row for all its slices.
CREATE TABLE receivers (
    company_id BLOB NOT NULL PRIMARY KEY REFERENCES companies (id) ON DELETE CASCADE,
    asked_at   TEXT NOT NULL
) STRICT;

-- A rollback under way: it fills the draft in many small transactions, and nobody else may edit or publish that draft.
CREATE TABLE rollbacks (
    slice_id   BLOB    NOT NULL PRIMARY KEY REFERENCES slices (id) ON DELETE CASCADE,
    run        BLOB    NOT NULL,                    -- whose it is; an overtaken run writes nothing more
    version    INTEGER NOT NULL,                    -- the version to come back
    owner      TEXT    NOT NULL,                    -- who asked for it
    touched_at TEXT    NOT NULL                     -- last sign of life
) STRICT;
