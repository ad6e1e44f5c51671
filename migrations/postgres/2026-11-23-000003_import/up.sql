-- On a node that was founded by `import`: what it was made of. Until it is finished the node serves nobody.
CREATE TABLE imports (
    id            BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    source_sha256 BYTEA NOT NULL,                 -- of the source's rows when it began: a changed source is refused
    report        TEXT COLLATE "C",               -- JSON; NULL while the import is under way
    started_at    TIMESTAMPTZ NOT NULL,
    finished_at   TIMESTAMPTZ
);
