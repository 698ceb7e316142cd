/**
 * Requests: what a tab asks of whoever holds the search copy, and what it is told. Plain data, as it goes to the
 * worker and, between tabs, over a channel. Knows nothing of how it travels or is answered.
 */

import type { SessionContent } from "./content.js";
import type { Snippet } from "./words.js";

/** A message as the search sees it: `MessageView` is one. Another object whenever it changed. */
export interface Searchable {
  readonly id: string;
  /** Its place; null without a receipt. */
  readonly seq: number | null;
  /** The verified author; null without a receipt. */
  readonly by: string | null;
  /** Empty takes it out of the search. */
  readonly text: string;
  /** Unix ms, by the author's clock. */
  readonly createdAt: number;
  /** Whether it is still being written. */
  readonly streaming: boolean;
}

/** A message that was found. */
export interface SearchHit {
  readonly session: string;
  readonly message: string;
  readonly seq: number | null;
  readonly by: string | null;
  /** Unix ms, by the author's clock. */
  readonly at: number;
  /** The piece around the first match: text and ranges in it. */
  readonly snippet: Snippet;
}

/** What the copy keeps of a message. */
export interface Indexed {
  readonly id: string;
  readonly seq: number | null;
  readonly by: string | null;
  readonly at: number;
  readonly text: string;
  /** See `hashOf`. */
  readonly hash: number;
}

/** How much of a session is indexed: equal marks, equal content. */
export interface Mark {
  readonly count: number;
  /** The hashes of all its messages, added up modulo 2^48: in any order. */
  readonly sum: number;
}

/** What any tab may ask. */
export type Ask =
  /** Whether this is what is indexed of the session: `boolean`. */
  | { readonly kind: "same"; readonly session: string; readonly mark: Mark }
  /** Which of these (id, hash) are wanted, being new or another: `string[]`. With `whole`, all others are taken out. */
  | {
      readonly kind: "offer";
      readonly session: string;
      readonly entries: readonly (readonly [id: string, hash: number])[];
      readonly whole: boolean;
    }
  /** Index these, in one transaction: `null`. */
  | { readonly kind: "put"; readonly session: string; readonly messages: readonly Indexed[] }
  /** Take a session out, without a trace in the file: `null`. */
  | { readonly kind: "remove"; readonly session: string }
  /** The best `limit` messages: `SearchHit[]`. */
  | { readonly kind: "search"; readonly query: string; readonly session: string | null; readonly limit: number };

/** What a tab asks of its own worker alone. */
export type WorkerAsk =
  | Ask
  /** Open the copy of this name; `boolean`: whether it is a new one. */
  | { readonly kind: "open"; readonly name: string }
  | { readonly kind: "close" }
  /** Write a file with this content: `Uint8Array`. Needs no open copy. */
  | { readonly kind: "export"; readonly content: SessionContent };

/**
 * Why there is no answer. `rebuilt`: the copy was damaged, an empty one is in its place. `busy`: another tab's worker has
 * the files. `no-opfs`, `quota`, `no-wasm`: this browser, or its settings, do not allow it. `gone`: nobody answers.
 * `moved`: whoever was asked does not hold the copy any more, somebody else does.
 */
export type Failure = "rebuilt" | "moved" | "busy" | "no-opfs" | "no-wasm" | "quota" | "failed" | "gone";

export type Reply =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: Failure; readonly reason: string };

/** No answer, and why. */
export class Unanswered extends Error {
  override name = "Unanswered";
  constructor(
    readonly code: Failure,
    reason: string,
  ) {
    super(reason);
  }
}

/** One that answers: the worker of this tab, or the tab that has one. Rejects with `Unanswered`. */
export interface Holder {
  ask(ask: Ask): Promise<unknown>;
}

const MODULUS = 2 ** 48;

/** What the copy keeps of a message. */
export function indexed(message: Searchable): Indexed {
  const { id, seq, by, text } = message;
  const at = Number.isSafeInteger(message.createdAt) ? message.createdAt : 0;
  return { id, seq, by, at, text, hash: hashOf(`${id}\n${seq}\n${by}\n${at}\n${text}`) };
}

/** 48 bits of a text: not against an adversary, who could at most keep an own message from being found. */
export function hashOf(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x9e3779b9;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit, 0x85ebca6b) ^ (high >>> 13);
  }
  return ((high ^ (high >>> 16)) & 0xffff) * 2 ** 32 + ((low ^ (low >>> 15)) >>> 0);
}

export const EMPTY_MARK: Mark = { count: 0, sum: 0 };

/** `mark` with a message more, or with one less. */
export function marked(mark: Mark, hash: number, sign: 1 | -1): Mark {
  return { count: mark.count + sign, sum: (mark.sum + (sign > 0 ? hash : MODULUS - hash)) % MODULUS };
}
