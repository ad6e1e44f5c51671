CREATE TABLE rollbacks (
    slice_id   BLOB    NOT NULL PRIMARY KEY REFERENCES slices (id) ON DELETE CASCADE,
    run        BLOB    NOT NULL,
    version    INTEGER NOT NULL,
    owner      TEXT    NOT NULL,
    touched_at TEXT    NOT NULL
) STRICT;
INSERT INTO rollbacks (slice_id, run, version, owner, touched_at)
    SELECT slice_id, run, source_version, owner, touched_at FROM stages WHERE source_epoch IS NULL;
DROP TABLE stages;
