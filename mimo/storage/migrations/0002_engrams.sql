-- Engrams: what is remembered, how it is found by words, its vectors, where it came from, what befell it.
--
-- Times are whole milliseconds since 1970 in UTC. An engram's public id ("m7Z8") is its `id` in base 62
-- behind an "m"; ids are never used twice, so a purged memory's name does not come to mean another.

-- The number narrows a search among vectors; rows name their namespace in words.
CREATE TABLE namespaces (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE engrams (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace     TEXT NOT NULL REFERENCES namespaces (name),
    -- working: kept for its session until `expires_at`, then promoted or gone. archived: faded, restorable.
    -- forgotten: by request, restorable until purged. Search sees live and working.
    state         TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'working', 'archived', 'forgotten')),
    state_since   INTEGER NOT NULL,
    content       TEXT NOT NULL CHECK (octet_length(content) BETWEEN 1 AND 100000),
    -- What the content does not say as words of its own: tags, and identifiers split at case and underscores.
    extra         TEXT NOT NULL DEFAULT '',
    content_hash  BLOB NOT NULL CHECK (length(content_hash) = 32),
    kind          TEXT NOT NULL DEFAULT 'fact',
    importance    REAL NOT NULL DEFAULT 0.5 CHECK (importance BETWEEN 0 AND 1),
    protected     INTEGER NOT NULL DEFAULT 0 CHECK (protected IN (0, 1)),
    -- Beside what it stood. A position is given by the caller, or the next in its session.
    session       TEXT,
    position      INTEGER CHECK (position IS NULL OR session IS NOT NULL),
    -- Who said it first; all who said it stand in engram_origins.
    client        TEXT NOT NULL DEFAULT '',
    tool          TEXT NOT NULL DEFAULT '',
    trust         TEXT NOT NULL DEFAULT 'agent' CHECK (trust IN ('user', 'agent', 'tool', 'web')),
    created_at    INTEGER NOT NULL,  -- when it was said or seen, as the caller has it
    stored_at     INTEGER NOT NULL,  -- when this row was written
    changed_at    INTEGER NOT NULL,
    valid_from    INTEGER,
    valid_to      INTEGER CHECK (valid_to IS NULL OR valid_from IS NULL OR valid_to >= valid_from),
    superseded_by INTEGER REFERENCES engrams (id) ON DELETE SET NULL,
    expires_at    INTEGER,
    accessed_at   INTEGER NOT NULL,
    accessed_day  INTEGER NOT NULL DEFAULT 0,  -- the number of the active day (see active_days) of the last use
    access_count  INTEGER NOT NULL DEFAULT 0 CHECK (access_count >= 0),
    decay_rate    REAL NOT NULL DEFAULT 0 CHECK (decay_rate >= 0),  -- lambda, per active day
    -- One word for the whole namespace, so that full-text search can be confined to it in one MATCH.
    scope         TEXT NOT NULL GENERATED ALWAYS AS ('n' || hex(namespace)) VIRTUAL
) STRICT;

CREATE INDEX engrams_by_namespace ON engrams (namespace, state, created_at);
CREATE INDEX engrams_by_session ON engrams (namespace, session, position) WHERE session IS NOT NULL;
CREATE INDEX engrams_by_hash ON engrams (content_hash, namespace);
CREATE INDEX engrams_by_state ON engrams (state, state_since);
CREATE INDEX engrams_by_expiry ON engrams (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX engrams_superseded ON engrams (superseded_by) WHERE superseded_by IS NOT NULL;
-- What a session is told at its start: preferences by weight, the newest decisions, what is pinned.
CREATE INDEX engrams_by_weight ON engrams (namespace, kind, importance) WHERE state = 'live' AND superseded_by IS NULL;
CREATE INDEX engrams_pinned ON engrams (namespace) WHERE protected = 1 AND state = 'live';

-- What ranking asks of a text, worked out when it is written (see engram_traits.py).
CREATE TABLE engram_traits (
    engram_id INTEGER PRIMARY KEY REFERENCES engrams (id) ON DELETE CASCADE,
    terms     BLOB NOT NULL,  -- its stemmed words in order, each as a 32-bit hash, little-endian
    told      INTEGER NOT NULL,  -- how many different words that say something
    asks      INTEGER NOT NULL CHECK (asks IN (0, 1)),  -- it ends in a question
    dated     INTEGER NOT NULL CHECK (dated IN (0, 1)),  -- it says when
    speaker   TEXT NOT NULL DEFAULT ''  -- who says it, in lower case, where it begins with a name and a colon
) STRICT;

-- Every time that this was said: a merged engram keeps each caller's reference and source.
CREATE TABLE engram_origins (
    id         INTEGER PRIMARY KEY,
    engram_id  INTEGER NOT NULL REFERENCES engrams (id) ON DELETE CASCADE,
    reference  TEXT,
    client     TEXT NOT NULL DEFAULT '',
    tool       TEXT NOT NULL DEFAULT '',
    trust      TEXT NOT NULL DEFAULT 'agent' CHECK (trust IN ('user', 'agent', 'tool', 'web')),
    session    TEXT,
    position   INTEGER,
    created_at INTEGER NOT NULL,
    stored_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX engram_origins_by_engram ON engram_origins (engram_id);
CREATE INDEX engram_origins_by_reference ON engram_origins (reference) WHERE reference IS NOT NULL;

CREATE TABLE engram_tags (
    tag       TEXT NOT NULL,
    engram_id INTEGER NOT NULL REFERENCES engrams (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, engram_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX engram_tags_by_engram ON engram_tags (engram_id);

-- `from_id` supersedes, contradicts, or is related to `to_id`.
CREATE TABLE engram_links (
    from_id    INTEGER NOT NULL REFERENCES engrams (id) ON DELETE CASCADE,
    relation   TEXT NOT NULL,
    to_id      INTEGER NOT NULL REFERENCES engrams (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (from_id, relation, to_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX engram_links_by_target ON engram_links (to_id);

-- What befell an engram, for history and undo. `before` is JSON of the columns that changed, as they were.
-- `action` groups what one call did. A purge takes an engram's history with it.
CREATE TABLE engram_events (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    engram_id INTEGER NOT NULL REFERENCES engrams (id) ON DELETE CASCADE,
    action    TEXT NOT NULL,
    op        TEXT NOT NULL,  -- added, merged, updated, tagged, linked, forgotten, restored, archived, promoted, ...
    at        INTEGER NOT NULL,
    actor     TEXT NOT NULL DEFAULT '',
    before    TEXT,
    undone    INTEGER NOT NULL DEFAULT 0 CHECK (undone IN (0, 1))
) STRICT;

CREATE INDEX engram_events_by_engram ON engram_events (engram_id);
CREATE INDEX engram_events_by_action ON engram_events (action);

-- The days on which mimo was used, numbered: memories fade by these, not by the calendar.
CREATE TABLE active_days (
    number INTEGER PRIMARY KEY,
    day    TEXT NOT NULL UNIQUE  -- 2031-05-23
) STRICT;

CREATE TABLE embedding_models (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    dim  INTEGER NOT NULL CHECK (dim > 0)
) STRICT;

-- Little-endian float16. An engram may have vectors of two models while one takes over from the other.
CREATE TABLE engram_vectors (
    engram_id INTEGER NOT NULL REFERENCES engrams (id) ON DELETE CASCADE,
    model     INTEGER NOT NULL REFERENCES embedding_models (id),
    dim       INTEGER NOT NULL CHECK (dim > 0),
    vector    BLOB NOT NULL CHECK (length(vector) = dim * 2),
    PRIMARY KEY (model, engram_id)
) STRICT;

CREATE INDEX engram_vectors_by_engram ON engram_vectors (engram_id);

-- What has no vector yet, or one of a text or a model that is no more. Whoever stores the vector takes the
-- row out in the same transaction; a changed model puts every engram in again.
CREATE TABLE embedding_queue (
    engram_id INTEGER PRIMARY KEY REFERENCES engrams (id) ON DELETE CASCADE,
    failures  INTEGER NOT NULL DEFAULT 0,
    not_until INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE VIRTUAL TABLE engram_words USING fts5(
    content, extra, scope,
    content = 'engrams', content_rowid = 'id',
    tokenize = 'porter unicode61 remove_diacritics 2'
);

-- Forgotten words leave the index's segments at once, not at the next merge.
INSERT INTO engram_words (engram_words, rank) VALUES ('secure-delete', 1);

CREATE VIRTUAL TABLE engram_word_counts USING fts5vocab(engram_words, row);

CREATE TRIGGER engram_added AFTER INSERT ON engrams BEGIN
    INSERT INTO engram_words (rowid, content, extra, scope) VALUES (new.id, new.content, new.extra, new.scope);
    INSERT INTO embedding_queue (engram_id) VALUES (new.id);
    INSERT INTO change (kind, id, op) VALUES ('engram', new.id, 'add');
END;

CREATE TRIGGER engram_reworded AFTER UPDATE OF content, extra, namespace ON engrams BEGIN
    INSERT INTO engram_words (engram_words, rowid, content, extra, scope)
        VALUES ('delete', old.id, old.content, old.extra, old.scope);
    INSERT INTO engram_words (rowid, content, extra, scope) VALUES (new.id, new.content, new.extra, new.scope);
END;

-- Whoever writes the new content writes its traits in the same transaction.
CREATE TRIGGER engram_needs_traits AFTER UPDATE OF content, extra ON engrams BEGIN
    DELETE FROM engram_traits WHERE engram_id = new.id;
END;

CREATE TRIGGER engram_needs_embedding AFTER UPDATE OF content ON engrams WHEN old.content IS NOT new.content BEGIN
    INSERT OR REPLACE INTO embedding_queue (engram_id) VALUES (new.id);
END;

-- Use (accessed_at, access_count) is no change that anybody waits for.
CREATE TRIGGER engram_changed AFTER UPDATE OF content, extra, namespace, state, kind, importance, protected,
    session, position, trust, created_at, valid_from, valid_to, superseded_by, expires_at ON engrams
BEGIN
    INSERT INTO change (kind, id, op) VALUES ('engram', new.id, 'update');
END;

CREATE TRIGGER engram_gone AFTER DELETE ON engrams BEGIN
    INSERT INTO engram_words (engram_words, rowid, content, extra, scope)
        VALUES ('delete', old.id, old.content, old.extra, old.scope);
    INSERT INTO change (kind, id, op) VALUES ('engram', old.id, 'remove');
END;

CREATE TRIGGER engram_vector_added AFTER INSERT ON engram_vectors BEGIN
    INSERT INTO change (kind, id, op) VALUES ('vector', new.engram_id, 'add');
END;

CREATE TRIGGER engram_vector_changed AFTER UPDATE ON engram_vectors BEGIN
    INSERT INTO change (kind, id, op) VALUES ('vector', new.engram_id, 'update');
END;

CREATE TRIGGER engram_vector_gone AFTER DELETE ON engram_vectors BEGIN
    INSERT INTO change (kind, id, op) VALUES ('vector', old.engram_id, 'remove');
END;
