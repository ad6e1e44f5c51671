-- On a node that was founded by `import`: what it was made of. Until it is finished the node serves nobody.
CREATE TABLE imports (
    id            INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    source_sha256 BLOB    NOT NULL,                 -- of the source's rows when it began: a changed source is refused
    report        TEXT,                             -- JSON; NULL while the import is under way
    started_at    TEXT    NOT NULL,
    finished_at   TEXT
) STRICT;
