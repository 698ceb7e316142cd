/** Values: what may go into a document or a presence. Knows nothing of what it means there. */

import { LocalProtocolError } from "./errors.js";

const DEPTH_MAX = 32;

/**
 * Refuse what does not survive the trip through a document.
 *
 * Throws `LocalProtocolError`: not JSON (NaN, infinity, half surrogate pairs, integers beyond 2^53, other types), a key
 * `__proto__`, or nested deeper than 32. A field that is `undefined` is taken as left out.
 */
export function checkValue(value: unknown): void {
  const stack: [value: unknown, depth: number][] = [[value, 0]];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const [part, depth] = next;
    if (depth > DEPTH_MAX) refuse(`a value is nested more than ${DEPTH_MAX} deep`);
    if (typeof part === "string") checkText(part);
    else if (typeof part === "number") checkNumber(part);
    else if (Array.isArray(part)) {
      for (const item of part) stack.push([item, depth + 1]);
    } else if (isPlain(part)) {
      for (const [key, item] of Object.entries(part)) {
        if (key === "__proto__") refuse("JavaScript cannot read a key named __proto__: use another");
        checkText(key);
        if (item !== undefined) stack.push([item, depth + 1]);
      }
    } else if (part !== null && typeof part !== "boolean") refuse(`${typeof part} is not JSON`);
  }
}

/** Refuse a string that holds half a surrogate pair: throws `LocalProtocolError`. */
export function checkText(text: string): void {
  if (/[\ud800-\udfff]/u.test(text)) refuse("text holds half a surrogate pair: keep both halves together");
}

function checkNumber(value: number): void {
  if (!Number.isFinite(value)) refuse("NaN and infinity are not JSON");
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    refuse("integers beyond 2^53 are not exact in every client: use a string");
  }
}

/** Whether a value is an object as JSON has them. */
export function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function refuse(why: string): never {
  throw new LocalProtocolError(why);
}

/** Whether two values of JSON say the same, in the same order. */
export function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
