-- The knowledge graph: facts as triples, the names of what they are about, what was concluded from them and why.
--
-- Times are whole milliseconds since 1970 in UTC. `valid_*` is when a fact holds in the world, `recorded_at` and
-- `retired_at` when we believed it. Nothing that was asserted is ever deleted; conclusions are, for they can be
-- drawn again.

-- `version` counts the changes of what was asserted, `concluded` is the version that conclusions are drawn from.
CREATE TABLE graphs (
    name       TEXT PRIMARY KEY NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    created_at INTEGER NOT NULL,
    version    INTEGER NOT NULL DEFAULT 0,
    concluded  INTEGER NOT NULL DEFAULT 0,
    bounded    INTEGER NOT NULL DEFAULT 0 CHECK (bounded IN (0, 1))  -- there is more to conclude than is kept
) STRICT, WITHOUT ROWID;

-- A fact in two graphs is a row in each, so that each graph may learn that it has ended on its own.
CREATE TABLE semantic_triples (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    subject       TEXT NOT NULL,
    subject_type  TEXT NOT NULL DEFAULT '',
    predicate     TEXT NOT NULL,
    object        TEXT NOT NULL,
    object_type   TEXT NOT NULL DEFAULT '',
    graph_id      TEXT NOT NULL REFERENCES graphs (name),
    confidence    REAL NOT NULL DEFAULT 1 CHECK (confidence BETWEEN 0 AND 1),
    source        TEXT NOT NULL DEFAULT '',
    valid_from    INTEGER,
    valid_to      INTEGER CHECK (valid_to IS NULL OR valid_from IS NULL OR valid_to >= valid_from),
    expires_at    INTEGER,
    metadata      TEXT,  -- JSON
    origin        TEXT NOT NULL DEFAULT 'asserted' CHECK (origin IN ('asserted', 'inferred')),
    rule          TEXT,  -- of a conclusion; its premises stand in triple_supports
    speaker       TEXT NOT NULL DEFAULT '',
    evidence      TEXT NOT NULL DEFAULT '',  -- the sentence in which it was said
    engram_id     INTEGER REFERENCES engrams (id) ON DELETE SET NULL,
    recorded_at   INTEGER NOT NULL,
    retired_at    INTEGER,
    retired_why   TEXT CHECK (retired_why IN ('retracted', 'expired', 'merged')),
    -- A later fact has ended this one: when we learned so, by which, and until when we had taken it to hold.
    closed_at     INTEGER,
    superseded_by INTEGER REFERENCES semantic_triples (id),
    held_to       INTEGER
) STRICT;

CREATE INDEX triples_spo ON semantic_triples (subject, predicate, object);
CREATE INDEX triples_pos ON semantic_triples (predicate, object, subject);
CREATE INDEX triples_osp ON semantic_triples (object, subject, predicate);
CREATE INDEX triples_confident ON semantic_triples (graph_id, confidence) WHERE retired_at IS NULL;
CREATE INDEX triples_expiring ON semantic_triples (expires_at) WHERE expires_at IS NOT NULL AND retired_at IS NULL;
CREATE INDEX triples_of_engram ON semantic_triples (engram_id) WHERE engram_id IS NOT NULL;
CREATE INDEX triples_superseded ON semantic_triples (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX triples_retired ON semantic_triples (graph_id, retired_at) WHERE retired_at IS NOT NULL;

-- Whoever else said it, after the first.
CREATE TABLE triple_origins (
    id        INTEGER PRIMARY KEY,
    triple_id INTEGER NOT NULL REFERENCES semantic_triples (id) ON DELETE CASCADE,
    source    TEXT NOT NULL DEFAULT '',
    speaker   TEXT NOT NULL DEFAULT '',
    evidence  TEXT NOT NULL DEFAULT '',
    engram_id INTEGER REFERENCES engrams (id) ON DELETE SET NULL,
    said_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX triple_origins_by_triple ON triple_origins (triple_id);
CREATE INDEX triple_origins_of_engram ON triple_origins (engram_id) WHERE engram_id IS NOT NULL;

-- The premises of each conclusion, in the order of its rule. No conclusion outlives one of them: who retires a
-- premise deletes what stands on it in the same transaction.
CREATE TABLE triple_supports (
    triple_id  INTEGER NOT NULL REFERENCES semantic_triples (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    premise_id INTEGER NOT NULL REFERENCES semantic_triples (id) ON DELETE CASCADE,
    PRIMARY KEY (triple_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX triple_supports_by_premise ON triple_supports (premise_id);

-- Rules that somebody taught, beside those that follow from the vocabulary.
CREATE TABLE triple_rules (
    id         INTEGER PRIMARY KEY,
    graph_id   TEXT NOT NULL REFERENCES graphs (name),
    text       TEXT NOT NULL CHECK (length(text) BETWEEN 1 AND 1000),
    confidence REAL NOT NULL DEFAULT 1 CHECK (confidence > 0 AND confidence <= 1),
    speaker    TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    UNIQUE (graph_id, text)
) STRICT;

CREATE TABLE entities (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    graph_id   TEXT NOT NULL REFERENCES graphs (name),
    name       TEXT NOT NULL,  -- as facts have it
    type       TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    UNIQUE (graph_id, name)
) STRICT;

-- Every name of an entity, its own first. `key` is the name without case, accents aside, and with single blanks.
CREATE TABLE entity_aliases (
    id        INTEGER PRIMARY KEY,
    graph_id  TEXT NOT NULL,
    key       TEXT NOT NULL,
    alias     TEXT NOT NULL,
    entity_id INTEGER NOT NULL REFERENCES entities (id) ON DELETE CASCADE,
    UNIQUE (graph_id, key, entity_id)
) STRICT;

CREATE INDEX entity_aliases_by_entity ON entity_aliases (entity_id);

-- Three letters at a time: a name with a typo in it shares most of them.
CREATE VIRTUAL TABLE entity_words USING fts5(
    key, content = 'entity_aliases', content_rowid = 'id', tokenize = 'trigram', detail = 'none'
);

CREATE TRIGGER entity_alias_added AFTER INSERT ON entity_aliases BEGIN
    INSERT INTO entity_words (rowid, key) VALUES (new.id, new.key);
END;

CREATE TRIGGER entity_alias_gone AFTER DELETE ON entity_aliases BEGIN
    INSERT INTO entity_words (entity_words, rowid, key) VALUES ('delete', old.id, old.key);
END;

-- Merges and splits, with what undoes them.
CREATE TABLE entity_events (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    graph_id TEXT NOT NULL REFERENCES graphs (name),
    op       TEXT NOT NULL CHECK (op IN ('merged', 'split')),
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL DEFAULT '',
    told     TEXT NOT NULL,  -- what happened, in words
    before   TEXT NOT NULL,  -- JSON
    undone   INTEGER NOT NULL DEFAULT 0 CHECK (undone IN (0, 1))
) STRICT;

CREATE INDEX entity_events_by_graph ON entity_events (graph_id, id);

CREATE TRIGGER triple_added AFTER INSERT ON semantic_triples BEGIN
    INSERT INTO change (kind, id, op) VALUES ('triple', new.id, 'add');
END;

CREATE TRIGGER triple_changed AFTER UPDATE OF subject, subject_type, object, object_type, confidence, valid_from,
    valid_to, expires_at, rule, retired_at ON semantic_triples
BEGIN
    INSERT INTO change (kind, id, op) VALUES ('triple', new.id, 'update');
END;

CREATE TRIGGER triple_gone AFTER DELETE ON semantic_triples BEGIN
    INSERT INTO change (kind, id, op) VALUES ('triple', old.id, 'remove');
END;

-- A purged memory leaves no sentence behind.
CREATE TRIGGER engram_gone_from_triples BEFORE DELETE ON engrams BEGIN
    UPDATE semantic_triples SET evidence = '' WHERE engram_id = old.id;
    UPDATE triple_origins SET evidence = '' WHERE engram_id = old.id;
END;
