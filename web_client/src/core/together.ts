/**
 * Together: the presence of several tabs in the one entry that a link has. `places` takes it apart again.
 *
 * A link's state is that of the tab that is looked at, over those of the others; where there are several, each stands
 * beside it under `tabs`. Knows nothing of how it travels.
 */

import type { Json } from "./messages.js";
import { pack } from "./msgpack.js";
import type { Place } from "./tabs.js";

type State = { readonly [key: string]: Json };

/**
 * One state for the link, null for nothing: of at most `bytesMax`, as far as leaving out the tabs helps.
 *
 * `places` are in the order they were looked at, the last one last.
 */
export function together(places: ReadonlyMap<string, Place>, bytesMax: number): State | null {
  const shown = [...places].filter(([, { presence }]) => presence !== null);
  if (shown.length === 0) return null;
  const ordered = [...shown.filter(([, place]) => !place.visible), ...shown.filter(([, place]) => place.visible)];
  const merged: State = Object.assign({}, ...ordered.map(([, { presence }]) => presence));
  if (shown.length === 1) return merged;
  const all = { ...merged, tabs: Object.fromEntries(shown.map(([tab, { presence }]) => [tab, presence])) };
  return pack(all).length <= bytesMax ? all : merged;
}
