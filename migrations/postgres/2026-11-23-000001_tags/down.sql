DROP TABLE slice_tags;
DROP TABLE tags;
