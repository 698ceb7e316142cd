/**
 * Batch: messages that wait to be indexed, gathered so that nothing is done per token.
 *
 * Knows times and messages; nothing of where they go. Time is given in, in ms of any clock.
 */

import type { Searchable } from "./requests.js";

/** How long a message waits for others. */
export const GATHER_MS = 100;
/** A message that is being written waits until it was left alone for so long. */
export const QUIET_MS = 2000;
/** What goes in one transaction at most: more would keep a search waiting. */
export const MESSAGES_MAX = 256;
export const CHARS_MAX = 256 << 10;

interface Waiting {
  readonly message: Searchable;
  readonly dueMs: number;
}

/** What waits, by session and message: the newest of each. */
export class Batch {
  readonly #sessions = new Map<string, Map<string, Waiting>>();

  get isEmpty(): boolean {
    return this.#sessions.size === 0;
  }

  /** Have a message wait, in place of what waits under its id. */
  put(session: string, message: Searchable, nowMs: number): void {
    let waiting = this.#sessions.get(session);
    if (waiting === undefined) this.#sessions.set(session, (waiting = new Map()));
    const before = waiting.get(message.id);
    const gatheredMs = Math.min(before?.message.streaming === false ? before.dueMs : Infinity, nowMs + GATHER_MS);
    waiting.set(message.id, { message, dueMs: message.streaming ? nowMs + QUIET_MS : gatheredMs });
  }

  /** Have it wait again, unless something newer does: it was not indexed. */
  back(session: string, messages: Iterable<Searchable>, nowMs: number): void {
    for (const message of messages) {
      if (!this.#sessions.get(session)?.has(message.id)) this.put(session, message, nowMs);
    }
  }

  /** Take what is due of one session; null if nothing is. */
  take(nowMs: number): { session: string; messages: Searchable[] } | null {
    for (const [session, waiting] of this.#sessions) {
      const due = Array.from(waiting.values()).filter((one) => one.dueMs <= nowMs);
      if (due.length === 0) continue;
      for (const { message } of due) waiting.delete(message.id);
      if (waiting.size === 0) this.#sessions.delete(session);
      return { session, messages: due.map((one) => one.message) };
    }
    return null;
  }

  /** When something is due; null if nothing waits. */
  get dueMs(): number | null {
    let first: number | null = null;
    for (const waiting of this.#sessions.values()) {
      for (const { dueMs } of waiting.values()) first = Math.min(first ?? dueMs, dueMs);
    }
    return first;
  }

  /** What waits, by session. */
  *messages(): Generator<[session: string, messages: Searchable[]]> {
    for (const [session, waiting] of this.#sessions) {
      yield [session, Array.from(waiting.values(), (one) => one.message)];
    }
  }

  /** Forget what waits of a session. */
  drop(session: string): void {
    this.#sessions.delete(session);
  }
}

/** Cut into pieces of at most `MESSAGES_MAX` messages and, of several, `CHARS_MAX` characters. */
export function* pieces<T extends { readonly text: string }>(messages: Iterable<T>): Generator<T[]> {
  let piece: T[] = [];
  let chars = 0;
  for (const message of messages) {
    if (piece.length > 0 && (piece.length === MESSAGES_MAX || chars + message.text.length > CHARS_MAX)) {
      yield piece;
      piece = [];
      chars = 0;
    }
    piece.push(message);
    chars += message.text.length;
  }
  if (piece.length > 0) yield piece;
}
