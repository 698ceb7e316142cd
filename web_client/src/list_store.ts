/**
 * List store: this device's copy of its list of sessions, in an IndexedDB database of its own.
 *
 * Derived: the server tells it all again. Where it cannot be used, the list is there only with a link.
 */

import type { IndexRow } from "./core/messages.js";

const STORE = "row";

export class ListStore {
  #db: Promise<IDBDatabase | null>;

  /** `store` is the client's: one for each person and server. */
  constructor(store: string) {
    this.#db = open(`${store}:list`);
  }

  /** All rows that are held. */
  async rows(): Promise<IndexRow[]> {
    const rows = await this.#run("readonly", (held) => held.getAll());
    return (rows as IndexRow[] | undefined) ?? [];
  }

  /** Take rows in place of those before, and forget sessions that are gone. */
  async put(rows: readonly IndexRow[], gone: Iterable<string>): Promise<void> {
    await this.#run("readwrite", (held) => {
      for (const row of rows) held.put(row);
      for (const session of gone) held.delete(session);
      return null;
    });
  }

  async close(): Promise<void> {
    (await this.#db)?.close();
  }

  async #run(mode: IDBTransactionMode, ask: (held: IDBObjectStore) => IDBRequest | null): Promise<unknown> {
    const db = await this.#db;
    if (db === null) return undefined;
    try {
      return await new Promise((resolve, reject) => {
        const tx = db.transaction(STORE, mode);
        const asked = ask(tx.objectStore(STORE));
        tx.oncomplete = () => resolve(asked?.result);
        tx.onabort = () => reject(tx.error ?? new Error("aborted"));
      });
    } catch {
      return undefined; // Full, erased or closed: what is not held is told again.
    }
  }
}

function open(name: string): Promise<IDBDatabase | null> {
  return new Promise((resolve) => {
    try {
      const asked = indexedDB.open(name, 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "session" });
      asked.onsuccess = () => {
        asked.result.onversionchange = () => asked.result.close();
        resolve(asked.result);
      };
      asked.onerror = asked.onblocked = () => resolve(null);
    } catch {
      resolve(null); // No IndexedDB here.
    }
  });
}
