DROP FUNCTION stamp_credentials CASCADE;
DROP TABLE credential_stamp;
