/** Fold: many stored rows of a session into one. Knows nothing of who reads or writes them meanwhile. */

import * as Y from "yjs";
import { LAYERS } from "./messages.js";
import type { Store } from "./store.js";

/** So many rows are worth a fold. */
export const FOLD_ROWS = 500;

/**
 * Put one row in place of the synced ones of each layer, where there are `least` of them.
 *
 * Own rows stay as they were made: they are what is pushed. What stands on one of them cannot be folded without it, and
 * waits until it is synced.
 */
export async function fold(store: Store, session: string, least = FOLD_ROWS): Promise<void> {
  const { rows } = await store.load(session);
  for (const layer of LAYERS) {
    const synced = rows.filter((row) => row.layer === layer && !row.own);
    const sizes = synced.map(({ update }) => update.length);
    const largest = Math.max(0, ...sizes);
    const grown = sizes.reduce((sum, size) => sum + size, -largest);
    // As much as the last fold holds: folding everything every so many rows would be quadratic.
    if (synced.length < least || grown < largest) continue;
    const document = new Y.Doc();
    document.transact(() => {
      for (const { update } of synced) Y.applyUpdate(document, update);
    });
    if (document.store.pendingStructs === null && document.store.pendingDs === null) {
      const folded = Y.encodeStateAsUpdate(document);
      await store.fold(
        session,
        layer,
        synced.map(({ row }) => row),
        folded,
      );
    }
    document.destroy();
  }
}
