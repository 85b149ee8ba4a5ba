-- The ground under every other table: what changed, and what was answered.

-- One row for every change of a table whose migration has triggers for it. Caches in memory follow it. There is
-- one writer, so the order of `seq` is the order of commits; old rows are pruned, and a seq is never used twice.
CREATE TABLE change (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id   INTEGER NOT NULL,
    op   TEXT NOT NULL CHECK (op IN ('add', 'update', 'remove'))
) STRICT;

-- The first answer to each idempotency key, written in the transaction that it answers for: the row is there
-- exactly when the effect is. Rows go after some days.
CREATE TABLE answer (
    key    TEXT PRIMARY KEY NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    result TEXT NOT NULL,  -- JSON
    at     INTEGER NOT NULL  -- milliseconds since 1970, UTC
) STRICT, WITHOUT ROWID;

CREATE INDEX answer_by_age ON answer (at);
