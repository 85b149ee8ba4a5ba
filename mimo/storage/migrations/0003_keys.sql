-- Keys of the network doors. The key itself is nowhere: it is 32 random bytes, shown once, and found by its digest.
CREATE TABLE api_key (
    id         TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    digest     BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),  -- SHA-256
    scopes     TEXT NOT NULL,  -- words with blanks between them
    created_at INTEGER NOT NULL,  -- milliseconds since 1970, UTC
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX api_key_by_name ON api_key (name) WHERE revoked_at IS NULL;
