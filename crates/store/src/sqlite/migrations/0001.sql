-- Longhaul's tables. Times are UTC milliseconds, ids are 16 bytes, bodies are JSON.
-- An epoch is what the product calls a fence. Steps touch no index but the ledger's two: `task_live`
-- and `task_final` change only when a task becomes final, the others only when it is accepted.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE host (
  host        TEXT PRIMARY KEY NOT NULL,
  host_epoch  INTEGER NOT NULL,
  boot_id     TEXT NOT NULL,
  version     TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  lease_until INTEGER,
  capacity    TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE submission (
  id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
  source     TEXT NOT NULL,
  digest     TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  tasks      INTEGER NOT NULL,
  seq        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX submission_source ON submission (source, seq);

CREATE TABLE task (
  key        INTEGER PRIMARY KEY NOT NULL,
  id         BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  version    INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  state      TEXT NOT NULL,
  name       TEXT NOT NULL,
  repo       TEXT NOT NULL,
  harness    TEXT NOT NULL,
  project    TEXT,
  grp        TEXT,
  labels     TEXT NOT NULL,
  submission BLOB NOT NULL REFERENCES submission (id),
  ord        INTEGER NOT NULL,
  prio       TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  final_at   INTEGER,
  chain      BLOB NOT NULL CHECK (length(chain) = 32),
  body       TEXT NOT NULL
) STRICT;
CREATE INDEX task_live ON task (id) WHERE final_at IS NULL;
CREATE INDEX task_final ON task (final_at) WHERE final_at IS NOT NULL;
CREATE INDEX task_name ON task (name);
CREATE INDEX task_tail ON task (substr(id, 13));
CREATE INDEX task_submission ON task (submission, ord);

CREATE TABLE task_spec (
  task BLOB PRIMARY KEY NOT NULL REFERENCES task (id),
  spec TEXT NOT NULL
) STRICT;

CREATE TABLE task_dep (
  needs BLOB NOT NULL REFERENCES task (id),
  task  BLOB NOT NULL REFERENCES task (id),
  PRIMARY KEY (needs, task)
) STRICT, WITHOUT ROWID;

-- How many tasks are in each state, kept up by the writer.
CREATE TABLE state_count (
  state TEXT PRIMARY KEY NOT NULL,
  tasks INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- In the order of their beginning, so that the attempts that live lie side by side.
CREATE TABLE attempt (
  key        INTEGER PRIMARY KEY NOT NULL,
  task       BLOB NOT NULL REFERENCES task (id),
  n          INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  host       TEXT REFERENCES host (host),
  host_epoch INTEGER,
  spawn_key  TEXT NOT NULL,
  outcome    TEXT,
  started_at INTEGER,
  ended_at   INTEGER,
  tokens     INTEGER NOT NULL,
  cost       INTEGER,
  body       TEXT NOT NULL,
  UNIQUE (task, epoch)
) STRICT;
CREATE INDEX attempt_ended ON attempt (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE verdict (
  key    INTEGER PRIMARY KEY NOT NULL,
  task   BLOB NOT NULL REFERENCES task (id),
  epoch  INTEGER NOT NULL,
  name   TEXT NOT NULL,
  kind   TEXT NOT NULL,
  run    INTEGER NOT NULL,
  grade  TEXT NOT NULL,
  at     INTEGER NOT NULL,
  tokens INTEGER NOT NULL,
  cost   INTEGER,
  body   TEXT NOT NULL
) STRICT;
CREATE INDEX verdict_task ON verdict (task, epoch);
CREATE INDEX verdict_spent ON verdict (at) WHERE tokens > 0;

-- Append-only. Whatever moves finished tasks to an archive must leave the row of the highest seq here,
-- so that a number is never given twice.
CREATE TABLE ledger (
  seq        INTEGER PRIMARY KEY NOT NULL,
  task       BLOB NOT NULL REFERENCES task (id),
  version    INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  from_state TEXT NOT NULL,
  to_state   TEXT NOT NULL,
  cause      TEXT NOT NULL,
  actor      TEXT NOT NULL,
  op_id      BLOB NOT NULL UNIQUE CHECK (length(op_id) = 16),
  at         INTEGER NOT NULL,
  data       TEXT NOT NULL,
  hash       BLOB NOT NULL CHECK (length(hash) = 32),
  UNIQUE (task, version)
) STRICT;

CREATE TABLE limit_window (
  scope    TEXT PRIMARY KEY NOT NULL,
  until    INTEGER NOT NULL,
  body     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE flag (
  name  TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
