/**
 * Flights: own edits on their way to the server: in order, merged into pushes, until each is acked or refused.
 *
 * Knows nothing of frames, of what was stored, or of why something was refused.
 */

import { LAYERS, type Layer } from "./messages.js";
import type { Limits } from "./limits.js";
import { merge, type Facts } from "./updates.js";

/** One stored own edit that was not acked. */
export interface Own {
  readonly row: number;
  readonly layer: Layer;
  readonly update: Uint8Array;
  readonly facts: Facts;
  /** A push that it was merged into was rejected: it goes by itself from now on. */
  alone: boolean;
}

interface Flight {
  readonly number: number;
  readonly rows: Own[];
  readonly bytes: number;
  sentAtMs: number | null;
}

// Bytes and rows of one push, and how much may be in the air.
const PUSH_BYTES = 256 << 10;
const PUSH_ROWS = 64;
const AIR_BYTES = 1 << 20;
const AIR_PUSHES = 16;

/** Rows that are merged into one push. */
class Batch {
  readonly rows: Own[] = [];
  readonly #ends = new Map<number, number>();
  #bytes = 0;
  #structs = 0;
  #deletions = 0;
  #clients = 0;
  #starters = "";

  constructor(private readonly limits: Limits) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** Add a row; false if it needs a push of its own, or another one. */
  add(own: Own): boolean {
    const { facts } = own;
    // A merge is in order of client ids, and receipts follow it: messages under different ids that were written one
    // after the other must not share a push.
    const starters = facts.starts ? [...facts.ends.keys()].toSorted((a, b) => a - b).join() : this.#starters;
    if (this.rows.length > 0 && !this.#takes(own, starters)) return false;
    this.rows.push(own);
    this.#bytes += own.update.length;
    this.#structs += facts.structs;
    this.#deletions += facts.deletions;
    this.#clients += facts.clients;
    this.#starters = starters;
    for (const [client, clock] of facts.ends) this.#ends.set(client, clock);
    return true;
  }

  #takes(own: Own, starters: string): boolean {
    const { facts } = own;
    if (own.alone || this.rows[0]!.alone || this.rows.length >= PUSH_ROWS) return false;
    if (this.#starters !== "" && starters !== this.#starters) return false;
    for (const [client, clock] of facts.begins) {
      const end = this.#ends.get(client);
      if (end !== undefined && clock > end) return false; // A merge with a hole would be refused.
    }
    return (
      this.#bytes + own.update.length <= PUSH_BYTES &&
      this.#structs + facts.structs <= this.limits.updateStructsMax &&
      this.#deletions + facts.deletions <= this.limits.updateStructsMax &&
      this.#clients + facts.clients <= this.limits.updateClientsMax
    );
  }
}

/**
 * 1. Rows of one layer fly in the order of their numbers, which is the order in which they were stored.
 * 2. A rejected merge comes back row by row: which of them it was shows when they go one by one.
 */
export class Flights {
  #queues: Record<Layer, Own[]> = { transcript: [], state: [] };
  #air: Flight[] = [];
  #number = 0;

  constructor(private readonly limits: Limits) {}

  /** Begin anew, as with each opening: nothing is in the air, nothing waits. */
  reset(): void {
    for (const layer of LAYERS) this.#queues[layer] = [];
    this.#air = [];
    this.#number = 0;
  }

  /** Have a row wait for its turn. */
  queue(own: Own): void {
    const queue = this.#queues[own.layer];
    let at = queue.length;
    while (at > 0 && queue[at - 1]!.row > own.row) at--;
    queue.splice(at, 0, own);
  }

  /** Drop rows that were refused, wherever they are. */
  drop(rows: ReadonlySet<Own>): void {
    for (const layer of LAYERS) this.#queues[layer] = this.#queues[layer].filter((own) => !rows.has(own));
    for (const flight of this.#air) {
      const left = flight.rows.filter((own) => !rows.has(own));
      flight.rows.splice(0, Infinity, ...left);
    }
  }

  /** Return the next push of a layer, null if there is none or enough is in the air. */
  next(layer: Layer): { readonly number: number; readonly update: Uint8Array } | null {
    const flying = this.#air.reduce((bytes, flight) => bytes + flight.bytes, 0);
    if (this.#air.length >= AIR_PUSHES || flying >= AIR_BYTES) return null;
    const queue = this.#queues[layer];
    const batch = new Batch(this.limits);
    for (const own of queue) if (!batch.add(own)) break;
    if (batch.rows.length === 0) return null;
    queue.splice(0, batch.rows.length);
    const number = ++this.#number;
    this.#air.push({ number, rows: batch.rows, bytes: batch.bytes, sentAtMs: null });
    return { number, update: merge(batch.rows.map((own) => own.update)) };
  }

  /** Return the rows of all pushes up to `number`: they are on the server's disk. */
  ack(number: number): Own[] {
    const done: Own[] = [];
    while (this.#air.length > 0 && this.#air[0]!.number <= number) done.push(...this.#air.shift()!.rows);
    return done;
  }

  /** Return the rows of push `number` that were refused for good; those of a merge wait again instead. */
  reject(number: number): Own[] {
    const rows = this.#air.find((flight) => flight.number === number)?.rows.splice(0) ?? [];
    if (rows.every((own) => own.alone)) return rows;
    for (const own of rows) {
      own.alone = true;
      this.queue(own);
    }
    return [];
  }

  /** Return for how long the oldest push has been without an answer. */
  ageMs(nowMs: number): number {
    for (const flight of this.#air) flight.sentAtMs ??= nowMs;
    return this.#air.length > 0 ? nowMs - this.#air[0]!.sentAtMs! : 0;
  }

  /** Count the age of all pushes from now on. */
  rejuvenate(): void {
    for (const flight of this.#air) flight.sentAtMs = null;
  }
}
