/**
 * Together: the presence of several tabs in the one entry that a link has. `places` takes it apart again.
 *
 * A link's state is that of the tab that is looked at, over those of the others; where there are several, each stands
 * beside it under `tabs`. Knows nothing of how it travels.
 */

import type { JsonMap } from "./messages.js";
import { pack } from "./msgpack.js";
import { mostPresent, overlaid } from "./presence.js";
import type { Place } from "./tabs.js";

/**
 * One state for the link, null for nothing: of at most `bytesMax`, since a server takes more for a mistake.
 *
 * Where it would be more, the tabs are left out; then one state after the other, the one looked at longest ago first.
 * The activity stays, and is the most present of all. `places` are in the order they were looked at, the last one last.
 */
export function together(places: ReadonlyMap<string, Place>, bytesMax: number): JsonMap | null {
  const shown = [...places].filter(([, { presence }]) => presence !== null);
  if (shown.length === 0) return null;
  const ordered = [...shown.filter(([, place]) => !place.visible), ...shown.filter(([, place]) => place.visible)];
  const states = ordered.map(([, { presence }]) => presence!);
  const activity = mostPresent(states);
  const possible = states.map((_, from): JsonMap => ({ ...overlaid(states.slice(from)), ...activity }));
  if (shown.length > 1) {
    const tabs = Object.fromEntries(shown.map(([tab, { presence }]) => [tab, presence!]));
    possible.unshift({ ...possible[0], tabs });
  }
  return possible.find((state) => pack(state).length <= bytesMax) ?? activity;
}
