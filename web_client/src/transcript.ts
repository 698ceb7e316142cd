/**
 * Transcript: a session's messages in the agreed order, read once and again only where something changed.
 * PROTOCOL 5.1, 5.2.
 *
 * Works on the transcript's document. Knows nothing of the network; how messages are written is in `parts`.
 */

import * as Y from "yjs";
import type { Json, JsonMap } from "./core/messages.js";
import type { Part, Receipt, Role } from "./schema.js";

/** Pairs of root and key: the top-level entries of a transcript. */
export type Entries = readonly (readonly [root: string, key: string])[];

/**
 * One message as a reader sees it. Another object whenever it changed.
 *
 * `receipt` is null until the server decided its place: own messages are "not sent yet" until then. `by` is the verified
 * author once there is a receipt; `author` is only what the writer claimed. Times are Unix ms.
 */
export class MessageView {
  #text: string | null = null;
  #parts: readonly Part[] | (() => readonly Part[]);

  /** `parts` may be what reads them: it is called when they are first asked for, since of most messages nobody does. */
  constructor(
    readonly id: string,
    readonly role: Role,
    readonly author: JsonMap,
    readonly to: readonly string[],
    parts: readonly Part[] | (() => readonly Part[]),
    readonly createdAt: number,
    readonly run: string | null,
    readonly attempt: number | null,
    readonly parent: string | null,
    readonly forkOf: string | null,
    readonly metadata: JsonMap,
    readonly receipt: Receipt | null,
    readonly expiresAt: number | null = null,
  ) {
    this.#parts = parts;
  }

  get parts(): readonly Part[] {
    if (typeof this.#parts === "function") this.#parts = this.#parts();
    return this.#parts;
  }

  /** All text parts, joined by empty lines. */
  get text(): string {
    this.#text ??= this.parts.flatMap((part) => (part.type === "text" && part["text"]) || []).join("\n\n");
    return this.#text;
  }

  /** Who wrote it, as the server verified; null without a receipt. */
  get by(): string | null {
    return this.receipt?.by ?? null;
  }

  /** Its place in the session's one agreed order; null without a receipt. */
  get seq(): number | null {
    return this.receipt?.seq ?? null;
  }

  /** Whether a part is still being written. */
  get streaming(): boolean {
    return this.parts.some((part) => part["state"] === "streaming");
  }
}

/**
 * The messages of a transcript.
 *
 * 1. A message is read again only when `touch` named it; the others stay the objects they were.
 * 2. `shape` moves whenever the order of what was there, or who stands beside whom, may be another; not when only content
 *    grew, nor when messages came behind all others.
 */
export class Transcript {
  #shape = 0;
  #views = new Map<string, MessageView>();
  #order: readonly MessageView[] = [];
  #ofRun = new Map<string, Set<string>>();
  /** What to read again; null while nothing was read yet. */
  #stale: Set<string> | null = null;

  constructor(private readonly document: () => Y.Doc) {}

  /** Note that these entries changed. */
  touch(entries: Entries): void {
    if (this.#stale === null) return;
    for (const [root, key] of entries) {
      if (root === "messages") this.#stale.add(key);
      else if (root === "receipts" && key.startsWith("m:")) this.#stale.add(key.slice(2));
    }
  }

  /** Forget everything: the document was replaced. */
  reset(): void {
    this.#views.clear();
    this.#ofRun.clear();
    this.#order = [];
    this.#stale = null;
    this.#shape++;
  }

  /** See invariant 2. */
  get shape(): number {
    this.#refresh();
    return this.#shape;
  }

  /** All messages in order, those without a place last. The same array until something changed. */
  messages(): readonly MessageView[] {
    this.#refresh();
    return this.#order;
  }

  /** One message, null if there is none of that id. */
  message(id: string): MessageView | null {
    this.#refresh();
    return this.#views.get(id) ?? null;
  }

  /** The messages of a run, in order. */
  ofRun(run: string): MessageView[] {
    this.#refresh();
    return Array.from(this.#ofRun.get(run) ?? [], (id) => this.#views.get(id)!).sort(byPlace);
  }

  #refresh(): void {
    if (this.#stale?.size === 0) return;
    const document = this.document();
    const order = this.#stale === null ? [] : this.#order.slice();
    // Where much is new, sorting once is cheaper than finding a place for each.
    const all = this.#stale === null || this.#stale.size > 64 + order.length / 16;
    const stale = this.#stale ?? new Set(document.getMap("messages").keys());
    this.#stale = new Set();
    for (const id of stale) {
      const before = this.#views.get(id) ?? null;
      const after = readMessage(document, id);
      if (before === null && after === null) continue;
      this.#keep(id, before, after);
      if (all || moved(order, before, after)) this.#shape++;
    }
    this.#order = all ? [...this.#views.values()].sort(byPlace) : order;
  }

  #keep(id: string, before: MessageView | null, after: MessageView | null): void {
    if (after === null) this.#views.delete(id);
    else this.#views.set(id, after);
    if (before?.run != null) this.#ofRun.get(before.run)?.delete(id);
    if (after?.run != null) {
      const ids = this.#ofRun.get(after.run);
      if (ids === undefined) this.#ofRun.set(after.run, new Set([id]));
      else ids.add(id);
    }
  }
}

/** One message as it stands in the document, null if there is none of that id. */
export function readMessage(document: Y.Doc, id: string): MessageView | null {
  const value = document.getMap<unknown>("messages").get(id);
  if (!(value instanceof Y.Map) && (value instanceof Y.AbstractType || !isMap(value))) return null;
  const field = (name: string) => plain(value instanceof Y.Map ? value.get(name) : value[name]) as Json | undefined;
  const role = field("role");
  return new MessageView(
    id,
    role === "assistant" || role === "system" ? role : "user",
    mapOr(field("author")),
    listOr(field("to")).filter((name) => typeof name === "string"),
    () => listOr(field("parts")).filter(isPart).map(joined),
    wholeOr(field("created_at")) ?? 0,
    textOr(field("run")),
    wholeOr(field("attempt")),
    textOr(field("parent")),
    textOr(field("fork_of")),
    mapOr(field("metadata")),
    readReceipt(document.getMap("receipts").get(`m:${id}`)),
    wholeOr(field("expires_at")),
  );
}

/** What messages are sorted by: `seq`; those without one last, by their authors' clocks, then ids. */
export function byPlace(one: MessageView, other: MessageView): number {
  const seqs = (one.receipt?.seq ?? Infinity) - (other.receipt?.seq ?? Infinity);
  if (seqs) return seqs; // NaN of two without one goes on, as 0 does.
  return one.createdAt - other.createdAt || (one.id < other.id ? -1 : Number(one.id > other.id));
}

/** The receipt that a value is, null if it is none. */
export function readReceipt(value: unknown): Receipt | null {
  if (!isMap(value)) return null;
  const { seq, by, at } = value;
  return typeof seq === "number" && typeof by === "string" ? { seq, by, at: wholeOr(at) ?? 0 } : null;
}

/** Write how far `subject` has read. */
export function putRead(document: Y.Doc, subject: string, seq: number, at: number): void {
  document.getMap("reads").set(subject, { seq, at });
}

/** How far a value under `reads` says that its subject has read, null for what says nothing. */
export function readRead(value: unknown): number | null {
  return isMap(value) && typeof value["seq"] === "number" ? value["seq"] : null;
}

/** Put `after` where `before` was, or where it belongs; whether that makes another tree of what was there. */
function moved(order: MessageView[], before: MessageView | null, after: MessageView | null): boolean {
  const from = before === null ? order.length : rank(order, before);
  order.splice(from, 1);
  if (after === null) return true;
  const to = rank(order, after);
  order.splice(to, 0, after);
  return from !== to || (before !== null && !sameLinks(before, after));
}

function rank(order: readonly MessageView[], view: MessageView): number {
  let [low, high] = [0, order.length];
  // Most of what changes stands at the end.
  if (high > 0 && byPlace(order[high - 1]!, view) < 0) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byPlace(order[middle]!, view) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sameLinks(one: MessageView, other: MessageView): boolean {
  return (
    one.role === other.role &&
    one.parent === other.parent &&
    one.forkOf === other.forkOf &&
    one.run === other.run &&
    one.attempt === other.attempt &&
    // Whether it is output, or answers a request, is by its author.
    ((one.run === null && one.role !== "assistant") || one.by === other.by) &&
    one.metadata["regenerate"] === other.metadata["regenerate"]
  );
}

function joined(part: Part): Part {
  const { more, ...rest } = part;
  if (!Array.isArray(more) || typeof part["text"] !== "string") return part;
  return { ...rest, type: part.type, text: part["text"] + more.filter((text) => typeof text === "string").join("") };
}

// Reading what anybody may have written: what is not as it should be is as if it were not there.

/** A value of a document as plain JSON. */
export function plain(value: unknown): unknown {
  return value instanceof Y.AbstractType ? (value.toJSON() as unknown) : value;
}

export function isMap(value: unknown): value is JsonMap {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

export function mapOr(value: Json | undefined): JsonMap {
  return isMap(value) ? value : {};
}

function listOr(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : [];
}

export function textOr(value: Json | undefined): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

export function wholeOr(value: Json | undefined): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function isPart(value: Json): value is Part {
  return isMap(value) && typeof value["type"] === "string";
}
