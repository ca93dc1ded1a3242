-- What a move changes lies in narrow rows of its own, so that a commit writes few pages: a page of
-- `task_now` holds a dozen tasks. What a task inherits from attempt to attempt changes a few times in
-- its life (`task_carry`), what it was asked for never (`task`). The ledger names a task by its key:
-- 8 bytes less in each row and in its index, and no look at the task for every row that is added.

CREATE TABLE task_now (
  key        INTEGER PRIMARY KEY NOT NULL REFERENCES task (key),
  version    INTEGER NOT NULL,
  epoch      INTEGER NOT NULL,
  state      TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  chain      BLOB NOT NULL CHECK (length(chain) = 32),
  body       TEXT NOT NULL
) STRICT;
INSERT INTO task_now (key, version, epoch, state, changed_at, chain, body)
  SELECT key, version, epoch, state, changed_at, chain, json_remove(body, '$.terms', '$.carry')
  FROM task ORDER BY key;

CREATE TABLE task_carry (
  key  INTEGER PRIMARY KEY NOT NULL REFERENCES task (key),
  body TEXT NOT NULL
) STRICT;
INSERT INTO task_carry (key, body) SELECT key, json_extract(body, '$.carry') FROM task ORDER BY key;

UPDATE task SET body = json_extract(body, '$.terms');
ALTER TABLE task RENAME COLUMN body TO terms;
ALTER TABLE task DROP COLUMN version;
ALTER TABLE task DROP COLUMN epoch;
ALTER TABLE task DROP COLUMN state;
ALTER TABLE task DROP COLUMN changed_at;
ALTER TABLE task DROP COLUMN chain;

-- Append-only. Whatever moves finished tasks to an archive must leave the row of the highest seq here,
-- so that a number is never given twice.
CREATE TABLE ledger_by_key (
  seq        INTEGER PRIMARY KEY NOT NULL,
  task       INTEGER NOT NULL,
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
INSERT INTO ledger_by_key (seq, task, version, epoch, from_state, to_state, cause, actor, op_id, at,
    data, hash)
  SELECT seq, (SELECT key FROM task WHERE id = ledger.task), version, epoch, from_state, to_state,
    cause, actor, op_id, at, data, hash
  FROM ledger ORDER BY seq;
DROP TABLE ledger;
ALTER TABLE ledger_by_key RENAME TO ledger;
