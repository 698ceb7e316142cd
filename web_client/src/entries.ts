/** Entries: which parts of a document a transaction changed, as `ReplicaChange` names them. */

import type * as Y from "yjs";

/** Pairs of root and key, each once: the top-level entries in which something changed. */
export function touchedEntries(transaction: Y.Transaction): [root: string, key: string][] {
  const found = new Map<string, [string, string]>();
  const names = rootNames(transaction.doc);
  for (const [type, keys] of transaction.changed) {
    let [at, key]: [Y.AbstractType<unknown>, string | null] = [type as Y.AbstractType<unknown>, null];
    for (; at._item !== null; at = at._item.parent as Y.AbstractType<unknown>) key = at._item.parentSub;
    const root = names.get(at);
    if (root === undefined) continue;
    for (const entry of at === type ? keys : [key]) found.set(`${root} ${entry}`, [root, entry ?? ""]);
  }
  return [...found.values()];
}

/** Names of the roots in which something changed. */
export function touchedRoots(transaction: Y.Transaction): string[] {
  return [...new Set(touchedEntries(transaction).map(([root]) => root))];
}

function rootNames(document: Y.Doc): Map<unknown, string> {
  return new Map(Array.from(document.share, ([name, type]) => [type, name]));
}
