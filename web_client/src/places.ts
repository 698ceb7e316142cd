/**
 * Places: the presence of several tabs in the one entry that a link has, and back.
 *
 * A link's state is that of the tab that is looked at, over those of the others; where there are several, each stands
 * beside it under `tabs`. Knows nothing of how it travels.
 */

import type { Json, PresenceEntry } from "./messages.js";
import type { Place, Standing } from "./tabs.js";

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
  // JSON is never shorter than what is sent.
  return new TextEncoder().encode(JSON.stringify(all)).length <= bytesMax ? all : merged;
}

/** One entry for each tab of everybody who is there, `tab` of this device left out. */
export function everyone(standing: Standing, tab: string): PresenceEntry[] {
  return standing.presence.flatMap((entry) => {
    const own = entry.peer === standing.peer;
    // Of this device's tabs the leader knows more than the server says.
    const tabs = own ? standing.tabs : tabsOf(entry.state);
    if (tabs === null) return [entry];
    return Object.entries(tabs)
      .filter(([id]) => !own || id !== tab)
      .map(([id, state]) => ({ ...entry, peer: `${entry.peer}/${id}`, state }));
  });
}

function tabsOf(state: Json): { readonly [tab: string]: Json } | null {
  const tabs = isMap(state) ? state["tabs"] : undefined;
  return tabs !== undefined && isMap(tabs) ? tabs : null;
}

function isMap(value: Json): value is State {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
