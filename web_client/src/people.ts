/**
 * People: who is on a session, each person and agent once, over all devices and tabs. PROTOCOL 5.4.
 *
 * Presence entries and time in, statuses out: as the server and the Python client reckon. Knows nothing of documents or
 * links.
 */

import type { Json, PresenceEntry } from "./core/messages.js";

/** At it; has it visible; connected without looking; not there. */
export type PersonStatus = "active" | "idle" | "away" | "offline";

export interface Person {
  readonly subject: string;
  readonly name: string;
  readonly kind: string;
  readonly status: PersonStatus;
  /** Has it visible on some device now, no grace added. */
  readonly watching: boolean;
  readonly devices: readonly string[];
  /** Runs that an agent works on. */
  readonly runs: readonly string[];
}

/** Who is gone, or looks elsewhere, for less than this is not noticed. */
export const GRACE_MS = 10_000;

const STATUSES: readonly PersonStatus[] = ["offline", "away", "idle", "active"];
const AWAY = 1;
const IDLE = 2;
const ACTIVE = 3;

interface Attendant {
  name: string;
  kind: string;
  readonly peers: Map<string, { readonly rank: number; readonly device: string }>;
  /** Ranks that are kept until a time, though no peer has them any more. */
  readonly held: Map<number, number>;
}

/**
 * Everybody on one session.
 *
 * 1. A status rises at once, and falls from active to idle at once: who fell idle said so.
 * 2. It falls further only when nobody took it back within the grace: a reload is no leave.
 * 3. A peer that says nothing of its activity is connected and no more; an agent is active while it works on a run.
 */
export class Attendance {
  readonly #there = new Map<string, Attendant>();
  readonly #subjects = new Map<string, string>();

  /** Take entries that changed, those that left with the state null. `now` is in ms of the clock that only goes on. */
  take(entries: readonly PresenceEntry[], now: number): void {
    for (const { peer, subject, name, kind, device, state } of entries) {
      const known = state === null ? this.#subjects.get(peer) : subject;
      if (known === undefined) continue;
      const there = this.#there.get(known) ?? { name, kind, peers: new Map(), held: new Map() };
      this.#there.set(known, there);
      const before = there.peers.get(peer)?.rank ?? 0;
      let rank = 0;
      if (state === null) {
        this.#subjects.delete(peer);
        there.peers.delete(peer);
      } else {
        rank = Math.max(rankOf(state), kind === "agent" ? IDLE : 0);
        this.#subjects.set(peer, subject);
        there.peers.set(peer, { rank, device });
        [there.name, there.kind] = [name, kind];
      }
      if (rank < before && rank < IDLE) there.held.set(before, now + GRACE_MS); // Invariants 1 and 2.
    }
  }

  /** Everybody who is not offline, the most present first. `working`: the live runs of agents. */
  people(now: number, working: ReadonlyMap<string, readonly string[]>): Person[] {
    const found: (readonly [rank: number, Person])[] = [];
    this.#prune(now);
    for (const [subject, { name, kind, peers, held }] of this.#there) {
      const runs = working.get(subject) ?? [];
      const ranks = [...peers.values()].map(({ rank }) => rank);
      const works = kind === "agent" && runs.length > 0 && ranks.length > 0; // Invariant 3.
      const rank = works ? ACTIVE : Math.max(...ranks, ...held.keys());
      const devices = [...new Set([...peers.values()].map(({ device }) => device))].sort();
      const watching = kind !== "agent" && ranks.some((each) => each >= IDLE);
      found.push([rank, { subject, name, kind, status: STATUSES[rank]!, watching, devices, runs }]);
    }
    found.sort(([one, a], [two, b]) => two - one || (a.subject < b.subject ? -1 : 1));
    return found.map(([, person]) => person);
  }

  /** When the next grace ends that may change something; null for never. */
  due(now: number): number | null {
    this.#prune(now);
    const ends = [...this.#there.values()].flatMap(({ held }) => [...held.values()]);
    return ends.length > 0 ? Math.min(...ends) : null;
  }

  /** Let go of graces that are over, and of whoever is gone by that. */
  #prune(now: number): void {
    for (const [subject, { peers, held }] of this.#there) {
      for (const [rank, until] of held) if (until <= now) held.delete(rank);
      if (peers.size === 0 && held.size === 0) this.#there.delete(subject);
    }
  }
}

/** What a peer's state says of its activity; of several tabs behind it the most present counts. */
function rankOf(state: Json): number {
  if (!isMap(state)) return AWAY;
  const { tabs } = state;
  const says = tabs !== undefined && isMap(tabs) && Object.keys(tabs).length > 0 ? Object.values(tabs) : [state];
  return Math.max(...says.map((tab) => activityOf(tab)));
}

function activityOf(tab: Json): number {
  const activity = isMap(tab) ? tab["activity"] : undefined;
  return activity === "active" ? ACTIVE : activity === "idle" ? IDLE : AWAY;
}

function isMap(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
