/** People: who is on a session, one entry per person or agent and device, of what presence says. Pure. */

import type { PresenceEntry } from "../../src/core/messages.js";
import { isAgent, isGuest, nameOf, shown } from "./names.js";

export interface Person {
  readonly key: string;
  readonly subject: string;
  readonly name: string;
  /** What it looks from, such as `phone`; empty where that is not said. */
  readonly where: string;
  /** Nobody looks at any of its tabs. */
  readonly away: boolean;
  readonly typing: boolean;
  readonly agent: boolean;
  readonly me: boolean;
}

/** Whether somebody is not here: they left, or keep the session open without looking at it. */
export function isGone(state: PresenceEntry["state"]): boolean {
  return state === null || (typeof state === "object" && !Array.isArray(state) && "gone" in state);
}

/** Those here: people before agents, who is away last. Tabs of one device are one. */
export function peopleOf(entries: readonly PresenceEntry[], me: string): Person[] {
  const found = new Map<string, Person>();
  for (const { subject, name, device, state } of entries) {
    if (isGone(state)) continue;
    const key = `${subject} ${device}`;
    const said = (typeof state === "object" && !Array.isArray(state) ? state : {}) as {
      readonly [key: string]: unknown;
    };
    const before = found.get(key);
    found.set(key, {
      key,
      subject,
      name: isGuest(subject) ? nameOf(subject) : shown(name) || nameOf(subject),
      where: typeof said["where"] === "string" ? shown(said["where"]).slice(0, 20) : (before?.where ?? ""),
      away: said["activity"] === "hidden" && (before?.away ?? true),
      typing: said["status"] === "typing" || (before?.typing ?? false),
      agent: isAgent(subject),
      me: subject === me,
    });
  }
  const rank = (person: Person) => (person.me ? -4 : 0) + (person.away ? 2 : 0) + (person.agent ? 1 : 0);
  return [...found.values()].sort(
    (a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : a.name > b.name ? 1 : a.key < b.key ? -1 : 1),
  );
}
