CREATE TABLE rollbacks (
    slice_id   UUID    NOT NULL PRIMARY KEY REFERENCES slices (id) ON DELETE CASCADE,
    run        UUID    NOT NULL,
    version    BIGINT NOT NULL,
    owner      TEXT    NOT NULL,
    touched_at TIMESTAMPTZ NOT NULL
);
INSERT INTO rollbacks (slice_id, run, version, owner, touched_at)
    SELECT slice_id, run, source_version, owner, touched_at FROM stages WHERE source_epoch IS NULL;
DROP TABLE stages;
