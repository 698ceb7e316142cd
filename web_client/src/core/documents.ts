/**
 * Documents: the two Yjs documents of one session in this tab, and what goes into them from elsewhere.
 *
 * Knows updates. Knows nothing of where they come from or go to.
 */

import * as Y from "yjs";
import { LAYERS } from "./messages.js";
import type { Layer } from "./messages.js";
import { readQuickly } from "./strings.js";
import { readUpdate } from "./updates.js";

/** Pairs of root and key. */
export type Touched = readonly (readonly [root: string, key: string])[];

/** An update and its layer. */
export interface LayerUpdate {
  readonly layer: Layer;
  readonly update: Uint8Array;
}

export interface DocumentsHost {
  /** Top-level entries changed; `own`: by what was written here. */
  touched(layer: Layer, entries: Touched, own: boolean): void;
  /** Something was written here. */
  wrote(layer: Layer, update: Uint8Array): void;
}

type Roots = Readonly<Record<string, string>>;

readQuickly();

/** Of the transcript. PROTOCOL 5.1. */
const ROOTS = ["messages", "runs", "commands", "reads", "receipts"] as const;
const KINDS: Readonly<Record<string, new () => Y.AbstractType<unknown>>> = {
  0: Y.Array,
  1: Y.Map,
  2: Y.Text,
  3: Y.XmlElement as unknown as new () => Y.AbstractType<unknown>,
  4: Y.XmlFragment as unknown as new () => Y.AbstractType<unknown>,
  6: Y.XmlText,
} as Readonly<Record<string, new () => Y.AbstractType<unknown>>>;

/**
 * The documents of one session: made, filled once, and listened to from then on.
 *
 * 1. Every document has a client id of its own, used by no other life.
 * 2. An update whose ground is missing is not kept half: it waits here, and is in the store or will be sent again.
 */
export class Documents {
  readonly #host: DocumentsHost;
  readonly #all: Record<Layer, Y.Doc>;
  /** The origin of what comes from elsewhere. */
  readonly #remote = Symbol("remote");
  readonly #roots: Roots;
  #waiting: LayerUpdate[] = [];

  constructor(host: DocumentsHost, roots: Roots) {
    this.#host = host;
    this.#roots = roots;
    this.#all = { transcript: this.#make("transcript"), state: this.#make("state") };
  }

  of(layer: Layer): Y.Doc {
    return this.#all[layer];
  }

  /** Take updates into the documents, which are empty. Nobody is told. */
  fill(updates: readonly LayerUpdate[]): void {
    for (const layer of LAYERS) {
      const own = updates.filter((each) => each.layer === layer);
      this.#apply(layer, own);
      if (!pending(this.#all[layer])) continue;
      this.#all[layer].destroy();
      this.#all[layer] = this.#make(layer);
      this.#waiting.push(...own);
    }
    this.retry();
  }

  /** Tell from now on: Yjs encodes what it tells, so not while they are filled. */
  hear(): void {
    for (const layer of LAYERS) {
      const document = this.#all[layer];
      document.on("afterTransaction", (transaction: Y.Transaction) => {
        const touched = touches(transaction);
        if (touched.length > 0) this.#host.touched(layer, touched, transaction.origin !== this.#remote);
      });
      document.on("update", (update: Uint8Array, origin: unknown) => {
        if (origin !== this.#remote) this.#host.wrote(layer, update);
      });
    }
  }

  /** Take updates; whether all of them found their ground. */
  take(updates: readonly LayerUpdate[]): boolean {
    let whole = true;
    for (const layer of LAYERS) {
      const own = updates.filter((each) => each.layer === layer);
      if (own.length === 0) continue;
      this.#apply(layer, own);
      if (dropPending(this.#all[layer])) whole = false;
    }
    this.retry();
    return whole;
  }

  /** Have updates wait, and take those that wait as far as their ground is there. Invariant 2. */
  retry(more: readonly LayerUpdate[] = []): void {
    this.#waiting.push(...more);
    let before: number;
    do {
      before = this.#waiting.length;
      this.#waiting = this.#waiting.filter(({ layer, update }) => {
        const document = this.#all[layer];
        if (!grounded(document, update)) return true;
        Y.applyUpdate(document, update, this.#remote);
        return dropPending(document);
      });
    } while (this.#waiting.length > 0 && this.#waiting.length < before);
  }

  /** The state has these roots. Throws: one was made here with another kind. */
  takeRoots(roots: Roots): void {
    makeRoots(this.#all.state, roots);
  }

  destroy(): void {
    for (const layer of LAYERS) this.#all[layer].destroy();
  }

  #apply(layer: Layer, updates: readonly LayerUpdate[]): void {
    const document = this.#all[layer];
    const all = (): void => {
      for (const { update } of updates) Y.applyUpdate(document, update, this.#remote);
    };
    Y.transact(document, all, this.#remote, false);
  }

  #make(layer: Layer): Y.Doc {
    const document = new Y.Doc();
    document.clientID = freshClientId(); // Invariant 1.
    if (layer === "state") makeRoots(document, this.#roots);
    else for (const root of ROOTS) document.getMap(root);
    return document;
  }
}

/** A client id that was never used: 53 random bits. */
function freshClientId(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0x1f_ffff) * 0x1_0000_0000 + low || 1;
}

function makeRoots(document: Y.Doc, roots: Roots): void {
  for (const [name, kind] of Object.entries(roots)) {
    const type = KINDS[kind];
    if (type !== undefined) document.get(name, type);
  }
}

/** The top-level entries (root, key) that a transaction changed; of a root that is no map, the key is empty. */
function touches(transaction: Y.Transaction): Touched {
  const found = new Map<string, readonly [string, string]>();
  const add = (root: Y.AbstractType<unknown>, key: string | null): void => {
    const name = Y.findRootTypeKey(root);
    found.set(`${name}\n${key ?? ""}`, [name, key ?? ""]);
  };
  for (const [type, keys] of transaction.changed) {
    let item = type._item;
    if (item === null) {
      for (const key of keys) add(type as Y.AbstractType<unknown>, key);
      continue;
    }
    let parent = item.parent as Y.AbstractType<unknown>;
    while (parent._item !== null) {
      item = parent._item;
      parent = item.parent as Y.AbstractType<unknown>;
    }
    add(parent, item.parentSub);
  }
  return [...found.values()];
}

function pending(document: Y.Doc): boolean {
  return document.store.pendingStructs !== null || document.store.pendingDs !== null;
}

/** Forget what waits for its ground in a document. Whether there was any. */
function dropPending(document: Y.Doc): boolean {
  const found = pending(document);
  document.store.pendingStructs = document.store.pendingDs = null;
  return found;
}

/** Whether what comes first of each client in an update follows what the document has of it. */
function grounded(document: Y.Doc, update: Uint8Array): boolean {
  const { begins } = readUpdate(update);
  return [...begins].every(([client, clock]) => clock <= Y.getState(document.store, client));
}
