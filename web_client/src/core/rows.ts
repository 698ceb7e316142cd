/**
 * Rows: which of a session's stored rows are in this tab's documents, and what is awaited of the own ones.
 *
 * Knows the numbers of rows. Knows nothing of documents, or of how rows are read and written.
 */

import { newPending } from "./edits.js";
import type { Pending } from "./edits.js";
import { NotSynced } from "./errors.js";
import type { Refused, Row } from "./store.js";

type Refusal = Pick<Refused, "code" | "reason">;

/**
 * 1. An own row waits until it is said to be synced or refused, or is no longer among those that the store has.
 */
export class Rows {
  /** All up to this one were read from the store; of those behind it, these are known. */
  #seen = 0;
  #known = new Set<number>();
  /** Own rows of all tabs that wait, and who here waits for them. */
  #mine = new Map<number, Pending | null>();

  get seen(): number {
    return this.#seen;
  }

  /** The own rows that wait. */
  get mine(): number[] {
    return [...this.#mine.keys()];
  }

  /** How many own rows wait. */
  get unsynced(): number {
    return this.#mine.size;
  }

  /** Those of `rows` that are not known yet. */
  unknown(rows: readonly Row[]): Row[] {
    return rows.filter(({ row }) => row > this.#seen && !this.#known.has(row));
  }

  /** The content of these is in the documents. Whether own ones are among them that were not known. */
  know(rows: readonly Pick<Row, "row" | "own">[]): boolean {
    let more = false;
    for (const { row, own } of rows) {
      if (row > this.#seen) this.#known.add(row);
      if (!own || this.#mine.has(row)) continue;
      this.#mine.set(row, null);
      more = true;
    }
    return more;
  }

  /** What was written here is stored as this row. */
  stored(row: number, own: Pending): void {
    this.#known.add(row);
    this.#mine.set(row, own);
  }

  /** All rows up to this one were read. */
  readTo(row: number): void {
    this.#seen = Math.max(this.#seen, row);
    for (const known of this.#known) if (known <= this.#seen) this.#known.delete(known);
  }

  /** These are all there are, read anew, and what was refused. Returns what was stored here behind them meanwhile. */
  readAnew(rows: readonly Row[], refused: readonly Refused[]): Pending[] {
    const last = rows.at(-1)?.row ?? 0;
    const before = this.#mine;
    const behind: Pending[] = [];
    this.#mine = new Map(rows.filter(({ own }) => own).map(({ row }) => [row, before.get(row) ?? null]));
    this.#seen = last;
    this.#known.clear();
    for (const [row, own] of before) {
      if (this.#mine.has(row)) continue;
      if (row <= last) {
        settle(
          own,
          refused.find((edit) => edit.row === row),
        );
        continue;
      }
      this.#mine.set(row, own);
      if (own === null || own.update.length === 0) continue; // Another tab's: to be read.
      this.#known.add(row);
      behind.push(own);
    }
    return behind;
  }

  /** Nothing is stored any more: return what was written here and waits. */
  clear(): Pending[] {
    const written = [...this.#mine.values()].flatMap((own) => (own !== null && own.update.length > 0 ? [own] : []));
    this.#mine.clear();
    return written;
  }

  /** These wait no longer: they are synced, or were refused. Whether any did. */
  settle(rows: readonly number[], refused?: Refusal): boolean {
    const waited = rows.filter((row) => this.#mine.has(row));
    for (const row of waited) {
      settle(this.#mine.get(row), refused);
      this.#mine.delete(row);
    }
    return waited.length > 0;
  }

  /** When all that wait now are synced. Rejects with `NotSynced`. */
  async synced(): Promise<void> {
    const waits = [...this.#mine].map(([row, known]) => {
      const own = known ?? newPending(new Uint8Array(), "state");
      this.#mine.set(row, own); // Another tab's: waited for from here, too.
      return own.synced.promise;
    });
    await Promise.all(waits);
  }
}

function settle(own: Pending | null | undefined, refused?: Refusal): void {
  if (refused === undefined) own?.synced.resolve();
  else own?.synced.reject(new NotSynced(refused.code, refused.reason || `the server refused it: ${refused.code}`));
}
