/** Places: the tabs of which several are in the one presence entry that a link has. See `together`. */

import type { Json, PresenceEntry } from "./messages.js";
import type { Standing } from "./tabs.js";

type State = { readonly [key: string]: Json };

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
