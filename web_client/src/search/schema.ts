/**
 * Schema: the tables of the search copy and of a downloaded session.
 *
 * The copy is derived: a file of another version is thrown away, never migrated. A download is read by others:
 * docs/browser.md says what its tables hold, and what changes their meaning changes `EXPORT_VERSION`.
 */

/** In `user_version` of the search copy. */
export const COPY_VERSION = 1;

/** In `user_version` of a download. */
export const EXPORT_VERSION = 1;

/** In `application_id` of a download: "sync". */
export const EXPORT_APPLICATION = 0x73796e63;

export const COPY_TABLES = `
  CREATE TABLE message (
    row INTEGER PRIMARY KEY, session TEXT NOT NULL, message TEXT NOT NULL, seq INTEGER, author TEXT,
    at_ms INTEGER NOT NULL, hash INTEGER NOT NULL, text TEXT NOT NULL, UNIQUE (session, message)
  ) STRICT;
  CREATE TABLE mark (session TEXT PRIMARY KEY, count INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
  -- The ascii tokenizer leaves everything beyond ASCII alone: the words come through as they were made here.
  CREATE VIRTUAL TABLE message_words USING fts5 (words, tokenize = 'ascii');
  PRAGMA user_version = ${COPY_VERSION};
`;

/** Times are Unix ms; columns of JSON are text. */
export const EXPORT_TABLES = `
  PRAGMA application_id = ${EXPORT_APPLICATION};
  PRAGMA user_version = ${EXPORT_VERSION};
  CREATE TABLE session (id TEXT PRIMARY KEY, exported_at INTEGER NOT NULL) STRICT;
  CREATE TABLE messages (
    id TEXT PRIMARY KEY, seq INTEGER, "by" TEXT, at INTEGER, role TEXT, author TEXT, created_at INTEGER,
    run TEXT, attempt INTEGER, parent TEXT, fork_of TEXT, "to" TEXT, expires_at INTEGER, metadata TEXT,
    text TEXT NOT NULL, content TEXT NOT NULL
  ) STRICT;
  CREATE INDEX messages_seq ON messages (seq);
  CREATE TABLE parts (
    message TEXT NOT NULL REFERENCES messages, position INTEGER NOT NULL, id TEXT, type TEXT, state TEXT, text TEXT,
    content TEXT NOT NULL, PRIMARY KEY (message, position)
  ) STRICT;
  CREATE TABLE runs (
    run TEXT NOT NULL, attempt INTEGER NOT NULL, agent TEXT, status TEXT, message TEXT, parent_run TEXT, task TEXT,
    started_at INTEGER, ended_at INTEGER, finish_reason TEXT, content TEXT NOT NULL, PRIMARY KEY (run, attempt)
  ) STRICT;
  CREATE TABLE commands (
    id TEXT PRIMARY KEY, seq INTEGER, "by" TEXT, at INTEGER, outcome TEXT, kind TEXT, target TEXT, target_id TEXT,
    payload TEXT, expires_at INTEGER, content TEXT NOT NULL
  ) STRICT;
  CREATE TABLE receipts (key TEXT PRIMARY KEY, kind TEXT NOT NULL, content TEXT NOT NULL) STRICT;
  CREATE TABLE reads (subject TEXT PRIMARY KEY, seq INTEGER, at INTEGER) STRICT;
  CREATE TABLE state (name TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT;
`;
