/**
 * Attending: who is on a session, and what this page's person does there, said by itself.
 *
 * Loaded when a session is open: nothing that is shown first needs it. Knows nothing of documents or links.
 */

import type { Attention } from "./attention.js";
import type { JsonMap, PresenceEntry } from "./core/messages.js";
import { same } from "./core/values.js";
import { Attendance } from "./people.js";
import type { Person } from "./people.js";
import type { RunView } from "./runs.js";

export { Attention } from "./attention.js";

export interface AttendedSession {
  readonly subject: string;
  readonly presence: {
    readonly mine: JsonMap;
    update(fields: JsonMap): void;
    everyone(): readonly PresenceEntry[];
  };
  runs(): readonly RunView[];
}

/**
 * What one open session shows and sees of people.
 *
 * 1. As long as a grace is to end there is a timer for the next one's end, whether anybody asks who is there or not.
 */
export class Attending {
  readonly #session: AttendedSession;
  readonly #attention: Attention;
  readonly #tell: () => void;
  readonly #attendance = new Attendance();
  readonly #unfollow: () => void;
  #people: readonly Person[] = [];
  #shown: boolean;
  #graceEnds: ReturnType<typeof setTimeout> | null = null;

  /** `shown`: whether the page shows the session. `tell` is called when time alone changed who is there. */
  constructor(session: AttendedSession, attention: Attention, shown: boolean, tell: () => void) {
    this.#session = session;
    this.#attention = attention;
    this.#shown = shown;
    this.#tell = tell;
    this.#unfollow = attention.subscribe(() => this.#say());
    this.take(session.presence.everyone());
    this.#say();
  }

  close(): void {
    this.#unfollow();
    if (this.#graceEnds !== null) clearTimeout(this.#graceEnds);
  }

  /** See `Session.people`. */
  people(): readonly Person[] {
    const working = new Map<string, string[]>();
    for (const { agent, lease, id } of this.#session.runs()) {
      if (lease === "live") working.set(agent, [...(working.get(agent) ?? []), id]);
    }
    const now = this.#attendance.people(performance.now(), working);
    if (!same(now, this.#people)) this.#people = now;
    return this.#people;
  }

  /** See `Session.attend`. */
  attend(shown: boolean): void {
    this.#shown = shown;
    this.#say();
  }

  /** Take presence entries that changed, and what this tab itself shows. */
  take(present: readonly PresenceEntry[]): void {
    const { subject, presence } = this.#session;
    const now = performance.now();
    const [kind = "", ...name] = subject.split(":");
    const mine = { peer: "", subject, name: name.join(":"), kind, device: "", state: presence.mine };
    this.#attendance.take(subject === "" ? present : [...present, mine], now);
    this.#await(now);
  }

  /** Tell when the next grace is over. Invariant 1. */
  #await(now: number): void {
    if (this.#graceEnds !== null) clearTimeout(this.#graceEnds);
    const due = this.#attendance.due(now);
    const over = () => {
      this.#await(performance.now());
      this.#tell();
    };
    this.#graceEnds = due === null ? null : setTimeout(over, due - now + 1);
  }

  #say(): void {
    if (typeof document !== "undefined") {
      const activity = this.#shown ? this.#attention.now : "hidden";
      if (this.#session.presence.mine["activity"] !== activity) this.#session.presence.update({ activity });
    }
    this.take([]);
  }
}
