/**
 * Documents: what this client needs of Yjs documents beyond what Yjs itself says of them.
 *
 * Knows nothing of where updates come from or go to.
 */

import * as Y from "yjs";

/** Of the transcript. PROTOCOL 5.1. */
export const ROOTS = ["messages", "runs", "commands", "reads", "receipts"] as const;
const KINDS: Readonly<Record<string, new () => Y.AbstractType<unknown>>> = {
  0: Y.Array,
  1: Y.Map,
  2: Y.Text,
  3: Y.XmlElement as unknown as new () => Y.AbstractType<unknown>,
  4: Y.XmlFragment as unknown as new () => Y.AbstractType<unknown>,
  6: Y.XmlText,
} as Readonly<Record<string, new () => Y.AbstractType<unknown>>>;

/** A client id that was never used: 53 random bits. */
export function freshClientId(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0x1f_ffff) * 0x1_0000_0000 + low || 1;
}

export function makeRoots(document: Y.Doc, roots: Readonly<Record<string, string>>): void {
  for (const [name, kind] of Object.entries(roots)) {
    const type = KINDS[kind];
    if (type !== undefined) document.get(name, type);
  }
}

/** The top-level entries (root, key) that a transaction changed; of a root that is no map, the key is empty. */
export function touches(transaction: Y.Transaction): (readonly [root: string, key: string])[] {
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

export function pending(document: Y.Doc): boolean {
  return document.store.pendingStructs !== null || document.store.pendingDs !== null;
}

/** Forget what waits for its ground in a document. Whether there was any. */
export function dropPending(document: Y.Doc): boolean {
  const found = pending(document);
  document.store.pendingStructs = document.store.pendingDs = null;
  return found;
}

/** Whether what comes first of each client in an update follows what the document has of it. */
export function grounded(document: Y.Doc, update: Uint8Array): boolean {
  const { from } = Y.parseUpdateMeta(update);
  return [...from].every(([client, clock]) => clock <= Y.getState(document.store, client));
}
