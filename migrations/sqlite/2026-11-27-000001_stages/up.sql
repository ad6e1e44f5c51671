-- A next version that is made in many transactions: by a rollback or a publication, or on
-- a secondary by a sync, which goes on where it was cut off.
CREATE TABLE stages (
    slice_id       BLOB    NOT NULL PRIMARY KEY REFERENCES slices (id) ON DELETE CASCADE,
    run            BLOB    NOT NULL,               -- whose it is; an overtaken run writes nothing more
    purpose        TEXT    NOT NULL,               -- sync, rollback or publish
    owner          TEXT    NOT NULL,               -- who asked for it
    source_epoch   BLOB,                           -- sync: of the version that is fetched
    source_version INTEGER NOT NULL,               -- sync: its number at the primary; rollback: the version to come back; publish: the published one
    source_digest  BLOB,                           -- sync: its digest
    mark           TEXT,                           -- sync: how far it is, in the primary's words; NULL: it cannot go on
    unfinished_row INTEGER,                        -- sync: the grain whose payload is not whole yet
    touched_at     TEXT    NOT NULL                -- last sign of life
) STRICT;
INSERT INTO stages (slice_id, run, purpose, owner, source_version, touched_at)
    SELECT slice_id, run, 'rollback', owner, version, touched_at FROM rollbacks;
DROP TABLE rollbacks;
