/**
 * Pool: the search copy's file, in this origin's private file system, and what to do when it is damaged.
 *
 * Runs in a worker: only those may use the file system's synchronous handles, and while one worker has them no other
 * gets them. Knows nothing of requests or tabs.
 */

import type { Database, SAHPoolUtil, Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { SearchDatabase } from "./database.js";
import { Unanswered } from "./requests.js";
import type { Ask, Failure } from "./requests.js";

const FILE = "/search.sqlite";
/** The file, its journal, and one in reserve. */
const FILES = 3;

/** Of memory for pages. Indexing goes through all of a small copy again and again. */
const CACHE_KIB = 16 << 10;

const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/**
 * The open copy.
 *
 * 1. What does not open, does not check or fails as damaged is thrown away and an empty one made in its place. Nothing
 *    is lost by that: all that is in it can be had from the sessions.
 * 2. A copy that fails again right after that is given up: the disk is full or broken.
 */
export class Pool {
  #database: Database | null = null;
  #search: SearchDatabase | null = null;
  #isFresh = false;

  private constructor(private readonly files: SAHPoolUtil) {}

  /** Open the copy called `name`. Rejects with `Unanswered`. */
  static async open(sqlite3: Sqlite3Static, name: string): Promise<Pool> {
    let files: SAHPoolUtil;
    try {
      files = await sqlite3.installOpfsSAHPoolVfs({
        name: "syncd-search",
        directory: `syncd-search-${encodeURIComponent(name)}`,
        initialCapacity: FILES,
        // By default all is deleted when another tab's worker still has it open.
        preserveOnInitFailure: true,
        forceReinitIfPreviouslyFailed: true,
        verbosity: 0,
      } as Parameters<Sqlite3Static["installOpfsSAHPoolVfs"]>[0]);
      await files.reserveMinimumCapacity(FILES);
    } catch (error) {
      throw asUnanswered(error);
    }
    const pool = new Pool(files);
    try {
      pool.#openOrRebuild();
    } catch (error) {
      pool.close();
      throw asUnanswered(error);
    }
    return pool;
  }

  /** Whether the copy was made anew, and nothing was indexed yet. */
  get isFresh(): boolean {
    return this.#isFresh;
  }

  /** See `SearchDatabase.answer`. Throws `Unanswered`, with `rebuilt` if the copy is an empty one now. */
  answer(ask: Ask): unknown {
    if (this.#search === null) throw new Unanswered("gone", "the search copy is closed");
    try {
      const value = this.#search.answer(ask);
      if (ask.kind === "put") this.#isFresh = false;
      return value;
    } catch (error) {
      const isDamaged = [SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_NOTADB].includes(codeOf(error));
      if (!isDamaged || this.#isFresh) throw asUnanswered(error); // Invariant 2.
      this.#rebuild();
      throw new Unanswered("rebuilt", `the search copy was damaged (${messageOf(error)}) and is made anew`);
    }
  }

  /** Let go of the files, so that another worker can have them. */
  close(): void {
    this.#search = null;
    try {
      this.#database?.close();
    } finally {
      this.#database = null;
      this.files.pauseVfs();
    }
  }

  #openOrRebuild(): void {
    try {
      const isNew = !this.files.getFileNames().includes(FILE);
      this.#open();
      if (isNew) this.#create();
      else if (!this.#search!.isSound()) throw new Unanswered("failed", "the search copy is damaged");
    } catch {
      this.#rebuild(); // Invariant 1.
    }
  }

  #open(): void {
    this.#database = new this.files.OpfsSAHPoolDb(FILE);
    // No other connection can be there. A journal that is cut off keeps nothing of what was taken out.
    this.#database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE;");
    // The copy is derived: what a crash of the machine takes, the next open finds missing by its marks.
    this.#database.exec("PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;");
    this.#database.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
    this.#search = new SearchDatabase(this.#database);
  }

  #create(): void {
    this.#search!.create();
    this.#isFresh = true;
  }

  #rebuild(): void {
    try {
      this.#database?.close();
    } catch {
      // It is thrown away: that its end was not orderly changes nothing.
    }
    this.#database = null;
    for (const name of this.files.getFileNames()) this.files.unlink(name);
    this.#open();
    this.#create();
  }
}

/** Why SQLite, or the file system, did not do it. */
export function asUnanswered(error: unknown): Unanswered {
  if (error instanceof Unanswered) return error;
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  const message = messageOf(error);
  let code: Failure = "failed";
  if (name === "NoModificationAllowedError" || name === "InvalidStateError") code = "busy";
  else if (name === "QuotaExceededError" || codeOf(error) === SQLITE_FULL) code = "quota";
  else if (name === "SecurityError" || name === "NotAllowedError" || message.includes("OPFS")) code = "no-opfs";
  return new Unanswered(code, message);
}

function codeOf(error: unknown): number {
  const code = (error as { resultCode?: unknown } | null)?.resultCode;
  return typeof code === "number" ? code & 0xff : 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error || error instanceof DOMException ? error.message : String(error);
}
