/**
 * Database: the search copy, in an SQLite database that somebody else opened.
 *
 * Synchronous, as SQLite is. Knows nothing of files, workers or tabs, and nothing of what to do when it is damaged.
 */

import type { BindingSpec, Database, PreparedStatement, SqlValue } from "@sqlite.org/sqlite-wasm";
import { EMPTY_MARK, marked } from "./requests.js";
import type { Ask, Indexed, Mark, SearchHit } from "./requests.js";
import { COPY_TABLES, COPY_VERSION } from "./schema.js";
import { phrases, snippet, words } from "./words.js";

/**
 * Messages of sessions, and which of them hold which words.
 *
 * 1. A session's mark is moved in the transaction that moves its messages: it says what is indexed, also after a crash.
 */
export class SearchDatabase {
  constructor(private readonly database: Database) {}

  /** Make the tables of a new file. */
  create(): void {
    this.database.exec(`BEGIN; ${COPY_TABLES} COMMIT;`);
  }

  /** Whether these are the tables of this version, and all pages are in order. */
  isSound(): boolean {
    if (this.database.selectValue("PRAGMA user_version") !== COPY_VERSION) return false;
    return this.database.selectValue("PRAGMA quick_check(1)") === "ok";
  }

  /** What `ask` asks for, as `Ask` says. */
  answer(ask: Ask): unknown {
    switch (ask.kind) {
      case "same": {
        const mark = this.mark(ask.session);
        return mark.count === ask.mark.count && mark.sum === ask.mark.sum;
      }
      case "offer":
        return this.wanted(ask.session, ask.entries, ask.whole);
      case "put":
        this.put(ask.session, ask.messages);
        return null;
      case "remove":
        this.remove(ask.session);
        return null;
      case "search":
        return this.find(ask.query, ask.session, ask.limit);
    }
  }

  mark(session: string): Mark {
    const row = this.database.selectArray("SELECT count, sum FROM mark WHERE session = ?", [session]);
    return row === undefined ? EMPTY_MARK : { count: Number(row[0]), sum: Number(row[1]) };
  }

  /** The ids of `entries` that are not indexed as they are; with `whole`, take out what is not among them. */
  wanted(session: string, entries: Iterable<readonly [id: string, hash: number]>, whole: boolean): string[] {
    const rows = this.database.selectArrays("SELECT message, hash FROM message WHERE session = ?", [session]);
    const have = new Map(rows.map(([id, hash]) => [String(id), Number(hash)]));
    const wanted: string[] = [];
    for (const [id, hash] of entries) {
      if (have.get(id) !== hash) wanted.push(id);
      have.delete(id);
    }
    if (whole && have.size > 0) this.put(session, Array.from(have.keys(), gone));
    return wanted;
  }

  /** Index messages in place of what was indexed under their ids; one without a text is taken out. */
  put(session: string, messages: Iterable<Indexed>): void {
    this.#transact(() => {
      const statements = new Statements(this.database);
      try {
        let mark = this.mark(session);
        for (const message of messages) mark = putOne(statements, session, message, mark);
        statements.run("INSERT OR REPLACE INTO mark VALUES (?, ?, ?)", [session, mark.count, mark.sum]); // Invariant 1.
      } finally {
        statements.finalize();
      }
    });
  }

  /** Take a session out, with its words. Rewrites the index: some 100 ms a megabyte. */
  remove(session: string): void {
    this.#transact(() => {
      const rows = "SELECT row FROM message WHERE session = ?";
      this.database.exec({ sql: `DELETE FROM message_words WHERE rowid IN (${rows})`, bind: [session] });
      this.database.exec({ sql: "DELETE FROM message WHERE session = ?", bind: [session] });
      this.database.exec({ sql: "DELETE FROM mark WHERE session = ?", bind: [session] });
    });
    // FTS5 keeps deleted words until their segments are merged.
    this.database.exec("INSERT INTO message_words (message_words) VALUES ('optimize')");
  }

  /** Do something wholly or not at all. Throws what made it fail. */
  #transact(work: () => void): void {
    this.database.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.database.exec("COMMIT");
    } catch (error) {
      try {
        this.database.exec("ROLLBACK");
      } catch {
        // SQLite did that itself, as it does when the disk errs: what it says then would hide why.
      }
      throw error;
    }
  }

  /** The best `limit` messages that hold every phrase of `query`, in `session` or in all. */
  find(query: string, session: string | null, limit: number): SearchHit[] {
    const wanted = phrases(query);
    if (wanted.length === 0 || limit < 1) return [];
    // In quotes nothing is an operator; words hold no quotes.
    const match = wanted.map((phrase) => `"${phrase.join(" ").replaceAll('"', "")}"`).join(" AND ") + " *";
    const rows = this.database.selectArrays(
      "SELECT message.session, message.message, seq, author, at_ms, text FROM message_words " +
        "JOIN message ON message.row = message_words.rowid WHERE message_words MATCH ?1 " +
        "AND (?2 IS NULL OR message.session = ?2) ORDER BY message_words.rank LIMIT ?3",
      [match, session, limit],
    );
    return rows.map(([of, message, seq, by, at, text]) => ({
      session: String(of),
      message: String(message),
      seq: seq === null ? null : Number(seq),
      by: by === null ? null : String(by),
      at: Number(at),
      snippet: snippet(String(text), wanted),
    }));
  }
}

/** Statements that are prepared once and run often: preparing one costs more than running it. */
class Statements {
  readonly #prepared = new Map<string, PreparedStatement>();

  constructor(private readonly database: Database) {}

  run(sql: string, values: BindingSpec): void {
    this.#statement(sql).bind(values).stepReset();
  }

  /** The first row; null for none. */
  row(sql: string, values: BindingSpec): SqlValue[] | null {
    const statement = this.#statement(sql).bind(values);
    try {
      return statement.step() ? statement.get([]) : null;
    } finally {
      statement.reset();
    }
  }

  finalize(): void {
    for (const statement of this.#prepared.values()) statement.finalize();
  }

  #statement(sql: string): PreparedStatement {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) this.#prepared.set(sql, (statement = this.database.prepare(sql)));
    return statement;
  }
}

/** Index one message; return the session's mark then. */
function putOne(statements: Statements, session: string, message: Indexed, before: Mark): Mark {
  const { id, seq, by, at, text, hash } = message;
  const old = statements.row("SELECT row, hash, text FROM message WHERE session = ? AND message = ?", [session, id]);
  if (old !== null && old[1] === hash && text !== "") return before;
  let mark = old === null ? before : marked(before, Number(old[1]), -1);
  if (text !== "") mark = marked(mark, hash, 1);
  if (old !== null && text !== "" && old[2] === text) {
    // It got its place: the words are the same.
    const sql = "UPDATE message SET seq = ?, author = ?, at_ms = ?, hash = ? WHERE row = ?";
    statements.run(sql, [seq, by, at, hash, old[0]!]);
    return mark;
  }
  if (old !== null) {
    statements.run("DELETE FROM message_words WHERE rowid = ?", [old[0]!]);
    statements.run("DELETE FROM message WHERE row = ?", [old[0]!]);
  }
  if (text === "") return mark;
  statements.run(
    "INSERT INTO message (session, message, seq, author, at_ms, hash, text) VALUES (?, ?, ?, ?, ?, ?, ?)",
    [session, id, seq, by, at, hash, text],
  );
  const folded = Array.from(words(text), (word) => word.folded).join(" ");
  statements.run("INSERT INTO message_words (rowid, words) VALUES (last_insert_rowid(), ?)", [folded]);
  return mark;
}

function gone(id: string): Indexed {
  return { id, seq: null, by: null, at: 0, text: "", hash: 0 };
}
