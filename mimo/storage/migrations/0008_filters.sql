-- What a filter lets through is listed from indexes alone: kinds, and what holds until a day.
CREATE INDEX engrams_by_kind ON engrams (kind, namespace, state, created_at);
CREATE INDEX engrams_ending ON engrams (valid_to) WHERE valid_to IS NOT NULL;
