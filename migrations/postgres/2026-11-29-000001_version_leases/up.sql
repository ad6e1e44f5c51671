-- Versions that somebody reads who began when they were the published ones. They are not collected meanwhile.
CREATE TABLE version_leases (
    slice_id   UUID        NOT NULL REFERENCES slices (id) ON DELETE CASCADE,
    version    BIGINT      NOT NULL,
    since      TIMESTAMPTZ NOT NULL,               -- first asked for; a lease does not last for ever
    expires_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (slice_id, version)
);
-- Which versions are young.
CREATE INDEX slice_versions_age ON slice_versions (slice_id, created_at);
