/** Presence: who is on a session now, and what this tab shows of itself. Never stored. PROTOCOL 5.4. */

import { LocalProtocolError } from "./errors.js";
import type { JsonMap, PresenceEntry } from "./messages.js";
import type { Replica } from "./replica.js";
import { checkValue, packedBytes } from "./schema.js";

/** What a server takes unless it was set otherwise. */
const PRESENCE_BYTES_MAX = 4096;

export class Presence {
  #mine: JsonMap = {};

  constructor(private readonly replica: Pick<Replica, "presence" | "setPresence">) {}

  /** What the others see of this tab. */
  get mine(): JsonMap {
    return this.#mine;
  }

  /**
   * Change some of what the others see of this tab; null takes a field away. Said again by itself after a reconnect.
   *
   * Throws `LocalProtocolError`: it is not JSON, or more than 4 KiB.
   */
  update(fields: JsonMap): void {
    checkValue(fields);
    const all = Object.entries({ ...this.#mine, ...fields });
    const mine = Object.fromEntries(all.filter(([, value]) => value !== null && value !== undefined));
    if (packedBytes(mine) > PRESENCE_BYTES_MAX) {
      throw new LocalProtocolError(`presence holds at most ${PRESENCE_BYTES_MAX} bytes`);
    }
    this.#mine = mine;
    this.replica.setPresence(mine);
  }

  /** Everybody else on this session now: one entry for each of their tabs and devices. Nobody while there is no link. */
  everyone(): readonly PresenceEntry[] {
    return this.replica.presence();
  }
}

/** The entries that `after` has new or otherwise than `before`; those that left come with the state null. */
export function presenceChanges(before: readonly PresenceEntry[], after: readonly PresenceEntry[]): PresenceEntry[] {
  const known = new Map(before.map((entry) => [entry.peer, entry]));
  const changed = after.filter((entry) => {
    const old = known.get(entry.peer);
    known.delete(entry.peer);
    return old !== entry && JSON.stringify(old) !== JSON.stringify(entry);
  });
  return [...changed, ...Array.from(known.values(), (entry) => ({ ...entry, state: null }))];
}
