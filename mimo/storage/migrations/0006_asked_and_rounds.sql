-- A digest of what was to be done under a key; empty: whatever it was. So a key that comes again with something else
-- is told so.
ALTER TABLE answer ADD COLUMN asked TEXT NOT NULL DEFAULT '';

-- When a round that the memory makes by itself was made last: few daemons live until the next one.
CREATE TABLE rounds (
    name TEXT PRIMARY KEY NOT NULL,
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
