/**
 * Store: this device's copies of its sessions, in one IndexedDB database that all tabs of an origin share.
 *
 * Rows of opaque updates, what the server said of each session, and what it refused. Knows nothing of tabs, links or
 * documents.
 */

import { StoreError } from "./errors.js";
import type { Json, Layer, Right } from "./messages.js";
import type { RefusedEdit } from "./replica.js";
import type { Write } from "./uplink.js";
import type { Progress } from "./progress.js";

/** One stored update. Rows are numbered in the order they were committed in, over all sessions and tabs. */
export interface Row {
  readonly row: number;
  readonly session: string;
  readonly layer: Layer;
  readonly update: Uint8Array;
  /** Written on this device, and not on the server's disk. */
  readonly own: boolean;
}

/** What is known of a session beside its rows. `heardAt` is in Unix ms: when the server last said something of it. */
export interface SessionRecord extends Progress {
  readonly session: string;
  readonly rights: readonly Right[] | null;
  readonly heardAt: number;
  readonly memo?: Memo;
}

/** Something short that was found out about a session when `row` was its last one. */
export interface Memo {
  readonly row: number;
  readonly value: Json;
}

/** What a leader stores beside an uplink's own writes. */
export type StoreWrite = Write | { readonly kind: "rights"; readonly rights: readonly Right[] };

/** As it is on disk: `mine` names the session of an own row, so that its index holds those alone. */
interface DiskRow {
  row?: number;
  session: string;
  layer: Layer;
  update: Uint8Array;
  mine?: string;
}

/** A refused own row. */
export interface Refused extends RefusedEdit {
  readonly row: number;
  readonly session: string;
}

interface Job {
  work: (stores: Stores) => () => unknown;
  /** See invariant 7. */
  isPlain: boolean;
  resolve: (value: never) => void;
  reject: (error: StoreError) => void;
}

type StoreName = (typeof NAMES)[number];
type Stores = Record<StoreName, IDBObjectStore>;

const NAMES = ["device", "session", "row", "refused"] as const;
const VERSION = 1;
const ATTEMPTS = 5;
const LAYER_NAMES = new Set<unknown>(["transcript", "state"]);

/**
 * The rows of all sessions.
 *
 * 1. A write is done when its transaction is complete, asked for with `durability: "strict"`: "saved" means that.
 * 2. One transaction is in flight at a time; what is asked for meanwhile goes into the next, in order.
 * 3. If one fails, nothing of it is written, nor of what waited behind it, which may build on it. One that the browser
 *    gave up while this tab was frozen has not failed: it is attempted again.
 * 4. Own and remote updates are never in one row. An own row stays as it was made until the server has it.
 * 5. A fold takes away exactly the rows that it was made of, in the transaction that adds it.
 * 6. Every write may be done twice, and by a tab that no longer leads: it says what stays true.
 * 7. What is plain asks for nothing that depends on an answer. It is handed over as a whole, so that a tab which is
 *    frozen then holds nobody up: a transaction that is half asked for keeps the others out for up to a minute.
 */
export class Store {
  /** One for each store, for ever. */
  readonly device: string;
  /** Whose copies these are, as a server verified it; empty before that. */
  subject: string;
  readonly #db: IDBDatabase;
  #queue: Job[] = [];
  #busy: Promise<void> | null = null;
  #gone: StoreError | null = null;

  private constructor(db: IDBDatabase, device: string, subject: string, onGone: (error: StoreError) => void) {
    this.#db = db;
    this.device = device;
    this.subject = subject;
    const gone = (code: string, message: string): void => {
      if (this.#gone !== null) return;
      this.#gone = new StoreError(message, code);
      db.close();
      onGone(this.#gone);
    };
    const erased = (): void => gone("cleared", "the browser's data of this page were erased while it was open");
    db.onversionchange = ({ newVersion }) => {
      if (newVersion === null) erased();
      else gone("outdated", "another tab uses a newer version of this page: load the page again");
    };
    db.onclose = erased;
    this.#close = () => gone("closed", "the store is closed");
  }

  readonly #close: () => void;

  /**
   * Open the store of this name, and make it if there is none.
   *
   * `onGone` is told once if it can no longer be used: its code is `cleared` (the data were erased: open it again),
   * `outdated` or `closed`.
   *
   * Throws `StoreError`: `unavailable`, `blocked` or `store`.
   */
  static async open(name: string, onGone: (error: StoreError) => void = () => {}): Promise<Store> {
    if (typeof indexedDB === "undefined") {
      throw new StoreError("this browser has no IndexedDB here: is this a private window?", "unavailable");
    }
    const db = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(`syncd:${name}`, VERSION);
      request.onupgradeneeded = () => upgrade(request.result);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(storeError(request.error));
      request.onblocked = () =>
        reject(new StoreError("another tab holds an older store open: close or reload it", "blocked"));
    });
    let device = randomId();
    let subject = "";
    await patiently(() => {
      const tx = db.transaction("device", "readwrite", { durability: "strict" });
      const devices = tx.objectStore("device");
      const found = devices.get("this");
      found.onsuccess = () => {
        const known = found.result as { device: string; subject: string } | undefined;
        if (known === undefined) devices.put({ device, subject }, "this");
        else ({ device, subject } = known);
      };
      return complete(tx);
    });
    return new Store(db, device, subject, onGone);
  }

  /** Why nothing can be written any more; null while all is well. */
  get gone(): StoreError | null {
    return this.#gone;
  }

  /** Note whose copies these are. */
  async setSubject(subject: string): Promise<void> {
    await this.#write((stores) => {
      stores.device.put({ device: this.device, subject }, "this");
      return () => undefined;
    });
    this.subject = subject;
  }

  /** Store an own edit; return its row. */
  append(session: string, layer: Layer, update: Uint8Array): Promise<number> {
    return this.#write((stores) => {
      const added = stores.row.add({ session, layer, update, mine: session } satisfies DiskRow);
      return () => added.result as number;
    }, true);
  }

  /** Store what an uplink's turn came to, in one transaction; return the rows of its remote updates, in order. */
  commit(session: string, writes: readonly StoreWrite[]): Promise<Row[]> {
    return this.#write((stores) => {
      const added: [IDBRequest<IDBValidKey>, Layer, Uint8Array][] = [];
      for (const write of writes) {
        if (write.kind === "remote") {
          const { layer, update } = write;
          added.push([stores.row.add({ session, layer, update } satisfies DiskRow), layer, update]);
        } else if (write.kind === "synced") {
          for (const row of write.rows) synced(stores.row, row);
        } else if (write.kind === "refused") {
          for (const row of write.rows) refuse(stores, session, row, write.code, write.reason);
        } else {
          note(stores.session, session, write);
        }
      }
      return () =>
        added.map(([{ result }, layer, update]) => ({ row: result as number, session, layer, update, own: false }));
    });
  }

  /** What is stored of a session. Throws `StoreError` `damaged`. */
  async load(session: string): Promise<{ record: SessionRecord | null; rows: Row[] }> {
    return this.#read(["session", "row"], true, (tx) => {
      const record = tx.objectStore("session").get(session);
      const rows = tx.objectStore("row").index("session").getAll(session);
      return () => ({ record: (record.result as SessionRecord | undefined) ?? null, rows: rows.result.map(readRow) });
    });
  }

  /** The same without the rows that need not be sent; `count`: how many there are in all. */
  async waiting(session: string): Promise<{ record: SessionRecord | null; own: Row[]; count: number }> {
    return this.#read(["session", "row"], true, (tx) => {
      const record = tx.objectStore("session").get(session);
      const own = tx.objectStore("row").index("mine").getAll(session);
      const count = tx.objectStore("row").index("session").count(session);
      return () => ({
        record: (record.result as SessionRecord | undefined) ?? null,
        own: own.result.map(readRow),
        count: count.result,
      });
    });
  }

  /** The rows of a session that were committed after `row`. */
  async after(session: string, row: number): Promise<Row[]> {
    return this.#read(["row"], true, (tx) => {
      const rows = tx.objectStore("row").getAll(IDBKeyRange.lowerBound(row, true));
      return () => rows.result.map(readRow).filter((found) => found.session === session);
    });
  }

  /** Which of `rows` are still own and not synced. */
  async own(session: string): Promise<Set<number>> {
    return this.#read(["row"], true, (tx) => {
      const keys = tx.objectStore("row").index("mine").getAllKeys(session);
      return () => new Set(keys.result as number[]);
    });
  }

  /** The last row of a session, 0 for none. */
  async last(session: string): Promise<number> {
    return this.#read(["row"], true, (tx) => {
      const cursor = tx.objectStore("row").index("session").openKeyCursor(session, "prev");
      return () => (cursor.result?.primaryKey as number | undefined) ?? 0;
    });
  }

  /** Keep something about a session with its record. */
  remember(session: string, memo: Memo): Promise<void> {
    return this.#write((stores) => {
      const found = stores.session.get(session);
      found.onsuccess = () => {
        if (found.result !== undefined) stores.session.put({ ...(found.result as SessionRecord), memo });
      };
      return () => undefined;
    });
  }

  /** Every session this device has a copy of, with the number of its own edits that are not synced, and its last row. */
  async sessions(): Promise<(SessionRecord & { unsynced: number; last: number })[]> {
    return this.#read(["session", "row"], false, (tx) => {
      const records = tx.objectStore("session").getAll();
      const last = new Map<string, number>();
      records.onsuccess = () => {
        for (const { session } of records.result as SessionRecord[]) {
          const cursor = tx.objectStore("row").index("session").openKeyCursor(session, "prev");
          cursor.onsuccess = () => last.set(session, (cursor.result?.primaryKey as number | undefined) ?? 0);
        }
      };
      const mine = new Map<string, number>();
      const cursor = tx.objectStore("row").index("mine").openKeyCursor();
      cursor.onsuccess = () => {
        if (cursor.result === null) return;
        const session = cursor.result.key as string;
        mine.set(session, (mine.get(session) ?? 0) + 1);
        cursor.result.continue();
      };
      return () => {
        const found = (records.result as SessionRecord[]).map((record) => {
          const unsynced = mine.get(record.session) ?? 0;
          mine.delete(record.session);
          return { ...record, unsynced, last: last.get(record.session) ?? 0 };
        });
        // Made here, and no server was there yet.
        for (const [session, unsynced] of mine) found.push({ ...newRecord(session), unsynced, last: 0 });
        return found;
      };
    });
  }

  /** What the server refused of a session, oldest first. */
  async refused(session: string): Promise<Refused[]> {
    return this.#read(["refused"], true, (tx) => {
      const found = tx.objectStore("refused").index("session").getAll(session);
      return () => found.result as Refused[];
    });
  }

  /** Erase what the server refused of a session. */
  dropRefused(session: string): Promise<void> {
    return this.#write((stores) => {
      erase(stores.refused.index("session"), session);
      return () => undefined;
    });
  }

  /** Put `update` in place of the `rows` it was made of. Whether it was: not if one of them is no longer there. */
  fold(session: string, layer: Layer, rows: readonly number[], update: Uint8Array): Promise<boolean> {
    return this.#write((stores) => {
      let there = 0;
      let folded = false;
      for (const row of rows) {
        const found = stores.row.get(row);
        found.onsuccess = () => {
          const read = found.result as DiskRow | undefined;
          if (read === undefined || read.mine !== undefined) return;
          there += 1;
          if (there < rows.length) return;
          folded = true;
          for (const each of rows) stores.row.delete(each);
          stores.row.add({ session, layer, update } satisfies DiskRow);
        };
      }
      return () => folded;
    });
  }

  /** Erase a session's copy, unsynced edits included. */
  forget(session: string): Promise<void> {
    return this.#write((stores) => {
      stores.session.delete(session);
      erase(stores.row.index("session"), session);
      erase(stores.refused.index("session"), session);
      return () => undefined;
    });
  }

  /** When all that was asked for so far is written, or has failed. */
  async settled(): Promise<void> {
    while (this.#busy !== null) await this.#busy;
  }

  /** Write what waits, and close. */
  async close(): Promise<void> {
    await this.settled();
    this.#close();
  }

  #read<T>(names: readonly StoreName[], isPlain: boolean, ask: (tx: IDBTransaction) => () => T): Promise<T> {
    return patiently(() => this.#transact(names, "readonly", isPlain, ask));
  }

  #write<T>(work: (stores: Stores) => () => T, isPlain = false): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ work, isPlain, resolve, reject });
      this.#busy ??= this.#flush();
    });
  }

  async #flush(): Promise<void> {
    await Promise.resolve(); // What is asked for in this turn of the event loop goes together.
    while (this.#queue.length > 0) {
      const jobs = this.#queue.splice(0);
      const isPlain = jobs.every((job) => job.isPlain);
      try {
        const results = await patiently(() =>
          this.#transact(NAMES, "readwrite", isPlain, (tx) => {
            const stores = Object.fromEntries(NAMES.map((name) => [name, tx.objectStore(name)])) as Stores;
            const asked = jobs.map((job) => job.work(stores));
            return () => asked.map((result) => result());
          }),
        );
        jobs.forEach((job, at) => job.resolve(results[at] as never));
      } catch (error) {
        for (const job of [...jobs, ...this.#queue.splice(0)]) job.reject(error as StoreError); // Invariant 3.
      }
    }
    this.#busy = null;
  }

  /** Ask for something in a transaction of its own; return what came of it when it is complete. */
  async #transact<T>(
    names: readonly StoreName[],
    mode: IDBTransactionMode,
    isPlain: boolean,
    ask: (tx: IDBTransaction) => () => T,
  ): Promise<T> {
    try {
      if (this.#gone !== null) throw this.#gone;
      const tx = this.#db.transaction(names, mode, { durability: "strict" }); // Invariant 1.
      const done = complete(tx);
      let result: () => T;
      try {
        result = ask(tx);
        if (isPlain) tx.commit(); // Invariant 7.
      } catch (error) {
        tx.abort();
        await done.catch(() => {});
        throw error;
      }
      await done;
      return result();
    } catch (error) {
      throw this.#gone ?? storeError(error);
    }
  }
}

/**
 * Attempt again what the browser gave up with nothing done, as Chromium does with the transaction of a tab that was
 * frozen in the middle of it while another waits.
 */
async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = ATTEMPTS; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 1 || (error as StoreError).code !== "timeout") throw error;
    }
  }
}

/** An id of this protocol's form, at random: where a page is not secure there is no `randomUUID`. */
export function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function upgrade(db: IDBDatabase): void {
  db.createObjectStore("device");
  db.createObjectStore("session", { keyPath: "session" });
  const rows = db.createObjectStore("row", { keyPath: "row", autoIncrement: true });
  rows.createIndex("session", "session");
  rows.createIndex("mine", "mine");
  db.createObjectStore("refused", { keyPath: "row" }).createIndex("session", "session");
}

function newRecord(session: string): SessionRecord {
  return { session, incarnation: "", version: 0, seq: 0, roots: {}, rights: null, heardAt: 0 };
}

type Noted = StoreWrite & { kind: "progress" | "rights" };

/** What is to be noted in one transaction, by session: each is read once, so that no note overwrites another. */
const noting = new WeakMap<IDBObjectStore, Map<string, Noted[]>>();

/** Set what is known of a session, together with whatever else of it is noted in this transaction. */
function note(sessions: IDBObjectStore, session: string, write: Noted): void {
  const all = noting.get(sessions) ?? new Map<string, Noted[]>();
  noting.set(sessions, all);
  const writes = all.get(session);
  if (writes) {
    writes.push(write);
    return;
  }
  const first = [write];
  all.set(session, first);
  const found = sessions.get(session);
  found.onsuccess = () => {
    all.delete(session);
    sessions.put(first.reduce(noted, (found.result as SessionRecord | undefined) ?? newRecord(session)));
  };
}

/** A tab that slept may be behind: within one incarnation it only grows. */
function noted(before: SessionRecord, write: Noted): SessionRecord {
  const heardAt = Date.now();
  if (write.kind === "rights") return { ...before, rights: [...write.rights], heardAt };
  const { incarnation, version, seq, roots } = write.progress;
  const same = before.incarnation === incarnation;
  return {
    ...before,
    heardAt,
    incarnation,
    version: same ? Math.max(version, before.version) : version,
    seq: same ? Math.max(seq, before.seq) : seq,
    roots: same ? { ...before.roots, ...roots } : roots,
  };
}

function synced(rows: IDBObjectStore, row: number): void {
  const found = rows.get(row);
  found.onsuccess = () => {
    const read = found.result as DiskRow | undefined;
    if (read?.mine === undefined) return;
    const { mine: _, ...rest } = read;
    rows.put(rest);
  };
}

function refuse(stores: Stores, session: string, row: number, code: string, reason: string): void {
  const found = stores.row.get(row);
  found.onsuccess = () => {
    const read = found.result as DiskRow | undefined;
    if (read?.mine === undefined) return;
    stores.row.delete(row);
    const { layer, update } = read;
    stores.refused.put({ row, session, layer, update, code, reason, at: Date.now() } satisfies Refused);
  };
}

function erase(index: IDBIndex, session: string): void {
  const cursor = index.openCursor(session);
  cursor.onsuccess = () => {
    if (cursor.result === null) return;
    cursor.result.delete();
    cursor.result.continue();
  };
}

function readRow(found: unknown): Row {
  const { row, session, layer, update, mine } = found as DiskRow;
  if (typeof row !== "number" || !LAYER_NAMES.has(layer) || !(update instanceof Uint8Array)) {
    throw new StoreError("the copy on this device does not read: forget it and open it anew", "damaged");
  }
  return { row, session, layer, update, own: mine !== undefined };
}

function complete(tx: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    tx.oncomplete = () => resolve();
    tx.onabort = () => reject(storeError(tx.error));
  });
}

/** What IndexedDB says, with a code to act on. */
function storeError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { name = "", message = String(error) } = (error ?? {}) as Partial<DOMException>;
  if (name === "QuotaExceededError") {
    return new StoreError("this device has no space left for this page: free some, then write again", "quota");
  }
  if (name === "TimeoutError") {
    return new StoreError("this tab was frozen again and again in mid-write: load the page again", "timeout");
  }
  if (name === "InvalidStateError") return new StoreError("the store is closed: load the page again", "closed");
  return new StoreError(`the browser's store failed: ${message || name || "aborted"}`, "store");
}
