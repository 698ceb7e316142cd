/** Ids: their grammar, and how new ones are made. PROTOCOL 3. Knows nothing of what they name. */

const ID = /^[A-Za-z0-9_-]{1,64}$/;
// With the flag u, what is matched of the surrogates is lone halves: JSON can say them and UTF-8 cannot.
const SUBJECT = /^[a-z]{1,16}:[^\x00-\x1f\x7f\ud800-\udfff]{0,110}$/u; // oxlint-disable-line no-control-regex

/** Whether `value` is a well-formed id: one to 64 characters of `[A-Za-z0-9_-]`. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && ID.test(value);
}

/** Whether `value` is a well-formed subject such as `user:mona`. */
export function isSubject(value: unknown): value is string {
  return typeof value === "string" && SUBJECT.test(value);
}

/** The key under `runs` of one attempt, from 1, of a run: each has an entry of its own. */
export function runKey(run: string, attempt: number): string {
  return `${run}_${attempt}`;
}

/** Run and attempt of a key under `runs`; attempt 0 for one that is of no attempt. */
export function splitRunKey(key: string): [run: string, attempt: number] {
  const at = key.lastIndexOf("_");
  const attempt = key.slice(at + 1);
  return at >= 0 && /^[0-9]{1,9}$/.test(attempt) ? [key.slice(0, at), Number(attempt)] : [key, 0];
}

/** The run that a tool call belongs to; empty for none. */
export function runOfCall(toolCall: string): string {
  return toolCall.slice(0, Math.max(0, toolCall.lastIndexOf("-")));
}

/** A UUIDv7 (RFC 9562) of `nowMs`: ids sort by when they were made. */
export function uuid7(nowMs: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  for (let at = 5, rest = nowMs; at >= 0; at--, rest = Math.floor(rest / 256)) bytes[at] = rest % 256;
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/**
 * Makes the ids of what one session object writes.
 *
 * 1. An id sorts behind all that were made here: what is not sent yet is shown in that order.
 */
export class Clock {
  #lastMs = 0;

  constructor(private readonly now: () => number = Date.now) {}

  /** A new id, and the time it says (Unix ms). */
  next(): { id: string; at: number } {
    this.#lastMs = Math.max(this.now(), this.#lastMs + 1); // Invariant 1.
    return { id: uuid7(this.#lastMs), at: this.#lastMs };
  }
}
