-- The merge queue: a line per repository and base branch, the entries that wait in it, its own ledger,
-- and what was found of trees. Entries have rows of their own, so that a move of a line with a hundred
-- of them writes those that changed.

CREATE TABLE line (
  key     INTEGER PRIMARY KEY NOT NULL,
  repo    TEXT NOT NULL,
  base    TEXT NOT NULL,
  version INTEGER NOT NULL,
  rows    INTEGER NOT NULL,
  chain   BLOB NOT NULL CHECK (length(chain) = 32),
  body    TEXT NOT NULL,
  UNIQUE (repo, base)
) STRICT;

CREATE TABLE queue_entry (
  line  INTEGER NOT NULL REFERENCES line (key),
  id    BLOB NOT NULL CHECK (length(id) = 16),
  place INTEGER NOT NULL,
  body  TEXT NOT NULL,
  PRIMARY KEY (line, id)
) STRICT, WITHOUT ROWID;

-- Append-only, like `ledger`; `n` counts the rows of a line.
CREATE TABLE queue_ledger (
  seq     INTEGER PRIMARY KEY NOT NULL,
  line    INTEGER NOT NULL REFERENCES line (key),
  n       INTEGER NOT NULL,
  version INTEGER NOT NULL,
  entry   BLOB CHECK (length(entry) = 16),
  cause   TEXT NOT NULL,
  actor   TEXT NOT NULL,
  at      INTEGER NOT NULL,
  data    TEXT NOT NULL,
  hash    BLOB NOT NULL CHECK (length(hash) = 32),
  UNIQUE (line, n)
) STRICT;
CREATE INDEX queue_ledger_entry ON queue_ledger (entry, seq) WHERE entry IS NOT NULL;

-- Checks that passed, by the tree and the digest of all else that the verdict depends on.
CREATE TABLE tree_verdict (
  tree TEXT NOT NULL,
  key  TEXT NOT NULL,
  at   INTEGER NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (tree, key)
) STRICT, WITHOUT ROWID;
