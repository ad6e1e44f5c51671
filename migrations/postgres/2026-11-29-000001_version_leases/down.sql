DROP INDEX slice_versions_age;
DROP TABLE version_leases;
