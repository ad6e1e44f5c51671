-- Labels that staff of a node put on slices for its own grouping. They are not synced.
CREATE TABLE tags (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name        TEXT    NOT NULL UNIQUE,            -- normalised: lower case, no spaces, commas and quotes
    description TEXT    NOT NULL,
    created_at  TEXT    NOT NULL,
    updated_at  TEXT    NOT NULL
) STRICT;

CREATE TABLE slice_tags (
    slice_id BLOB    NOT NULL REFERENCES slices (id) ON DELETE CASCADE,
    tag_id   INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
    PRIMARY KEY (slice_id, tag_id)
) STRICT;
CREATE INDEX slice_tags_tag ON slice_tags (tag_id);
