-- A key that a rotation minted, beside the candidate that somebody brought: until one of them is proven, either may be the good one.
ALTER TABLE partners ADD COLUMN minted_key BLOB;
