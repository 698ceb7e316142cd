/** Presence: who is on a session now, and what this tab shows of itself. Never stored. PROTOCOL 5.4. */

import { LocalProtocolError } from "./errors.js";
import type { JsonMap, PresenceEntry } from "./messages.js";
import type { Replica } from "./replica.js";
import { pack } from "./msgpack.js";
import { checkValue, same } from "./values.js";

/** The most present first. */
const ACTIVITIES = ["active", "idle", "hidden"];

/** The most present of the activities of several states, if they say any. */
export function mostPresent(states: readonly JsonMap[]): JsonMap {
  const activity = ACTIVITIES.find((each) => states.some((state) => state["activity"] === each));
  return activity === undefined ? {} : { activity };
}

/** Several states as one: the later over the earlier, and the most present activity of all. */
export function overlaid(states: readonly JsonMap[]): JsonMap {
  return Object.assign({}, ...states, mostPresent(states));
}

export class Presence {
  #mine: JsonMap = {};
  #everyone: readonly PresenceEntry[];
  #closed = false;

  constructor(private readonly replica: Pick<Replica, "presence" | "setPresence" | "presenceBytesMax">) {
    this.#everyone = replica.presence();
  }

  /** What the others see of this tab. */
  get mine(): JsonMap {
    return this.#mine;
  }

  /**
   * Change some of what the others see of this tab; null takes a field away. Said again by itself after a reconnect.
   *
   * Throws `LocalProtocolError`: it is not JSON, or more than the server takes: 4 KiB if it was not set otherwise.
   */
  update(fields: JsonMap): void {
    checkValue(fields);
    const all = Object.entries({ ...this.#mine, ...fields });
    const mine = Object.fromEntries(all.filter(([, value]) => value !== null && value !== undefined));
    const { presenceBytesMax } = this.replica;
    if (pack(mine).length > presenceBytesMax) {
      throw new LocalProtocolError(`presence holds at most ${presenceBytesMax} bytes`);
    }
    this.#mine = mine;
    if (!this.#closed) this.replica.setPresence(mine, this);
  }

  /** Show nothing any more. */
  close(): void {
    this.#closed = true;
    this.replica.setPresence(null, this);
  }

  /**
   * Everybody else on this session now: one entry for each of their tabs and devices. Nobody while there is no link.
   *
   * The same array until somebody came, changed or left.
   */
  everyone(): readonly PresenceEntry[] {
    return this.#everyone;
  }

  /** Look again; returns the entries that are new or another, and with the state null those that left. */
  refresh(): readonly PresenceEntry[] {
    const known = new Map(this.#everyone.map((entry) => [entry.peer, entry]));
    const changed: PresenceEntry[] = [];
    const now = this.replica.presence().map((entry) => {
      const before = known.get(entry.peer);
      known.delete(entry.peer);
      if (before !== undefined && same(before, entry)) return before;
      changed.push(entry);
      return entry;
    });
    for (const entry of known.values()) changed.push({ ...entry, state: null });
    if (changed.length > 0) this.#everyone = now;
    return changed;
  }
}
