-- Procedures: what is defined, and the runs with their steps. A definition is never changed, only followed by a
-- higher version; its runs finish on theirs.
CREATE TABLE procedure_definitions (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    major      INTEGER NOT NULL CHECK (major >= 0),
    minor      INTEGER NOT NULL CHECK (minor >= 0),
    body       TEXT NOT NULL,  -- canonical JSON: sorted keys, no blanks
    hash       BLOB NOT NULL CHECK (length(hash) = 32),  -- SHA-256 of the body
    active     INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),
    source     TEXT NOT NULL DEFAULT '',  -- who defined it: a client's name, or a file
    engram_id  INTEGER REFERENCES engrams (id) ON DELETE SET NULL,  -- under which it is found
    created_at INTEGER NOT NULL,  -- milliseconds since 1970, UTC
    UNIQUE (name, major, minor)
) STRICT;

CREATE INDEX procedure_definitions_by_engram ON procedure_definitions (engram_id) WHERE engram_id IS NOT NULL;

CREATE TABLE procedure_executions (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    definition_id INTEGER NOT NULL REFERENCES procedure_definitions (id),
    status        TEXT NOT NULL CHECK (status IN ('pending', 'running', 'waiting', 'completed', 'failed',
        'compensating', 'rolled_back', 'interrupted', 'needs_attention')),
    state         TEXT NOT NULL,
    run           TEXT NOT NULL,  -- JSON: the engine's state, but for the context
    context       TEXT NOT NULL,  -- JSON
    turn          INTEGER NOT NULL DEFAULT 0,  -- how often it was saved: who saves says what he has seen
    wake_at       INTEGER,  -- when something is due
    parent_id     INTEGER REFERENCES procedure_executions (id) ON DELETE CASCADE,
    parent_step   INTEGER,
    parent_attempt INTEGER,
    client        TEXT NOT NULL DEFAULT '{}',  -- JSON: for whom it calls tools
    created_at    INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    ended_at      INTEGER
) STRICT;

CREATE INDEX procedure_executions_by_status ON procedure_executions (status, changed_at);
CREATE INDEX procedure_executions_by_definition ON procedure_executions (definition_id, id);
CREATE INDEX procedure_executions_by_end ON procedure_executions (ended_at) WHERE ended_at IS NOT NULL;
-- One child for one attempt of one step, however often its parent asks for it.
CREATE UNIQUE INDEX procedure_executions_by_parent ON procedure_executions (parent_id, parent_step, parent_attempt)
    WHERE parent_id IS NOT NULL;

-- What befell a run, in order.
CREATE TABLE procedure_steps (
    execution_id INTEGER NOT NULL REFERENCES procedure_executions (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    kind         TEXT NOT NULL,  -- started, entered, acting, done, failed, retrying, undone, ...
    state        TEXT NOT NULL,
    step         INTEGER NOT NULL DEFAULT 0,
    attempt      INTEGER NOT NULL DEFAULT 0,
    detail       TEXT,  -- JSON
    PRIMARY KEY (execution_id, number)
) STRICT, WITHOUT ROWID;
