-- Versions that somebody reads who began when they were the published ones. They are not collected meanwhile.
CREATE TABLE version_leases (
    slice_id   BLOB    NOT NULL REFERENCES slices (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    since      TEXT    NOT NULL,                   -- first asked for; a lease does not last for ever
    expires_at TEXT    NOT NULL,
    PRIMARY KEY (slice_id, version)
) STRICT;
-- Which versions are young.
CREATE INDEX slice_versions_age ON slice_versions (slice_id, created_at);
