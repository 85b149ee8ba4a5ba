-- What holds only later: until its day comes, what it replaces is told.
CREATE INDEX engrams_to_come ON engrams (valid_from) WHERE valid_from IS NOT NULL;
