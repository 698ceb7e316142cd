/**
 * Tabs: the tabs of one device that share a store, and which of them leads.
 *
 * A channel between them and the lock of the one that leads. What they say to each other is plain data; what it means
 * is the client's.
 */

import type { Json, Layer, Listed, PresenceEntry, Right, Watch } from "./messages.js";
import { randomId } from "./store.js";
import type { Row } from "./store.js";
import type { Status } from "./status.js";

/** A tab's place on one session: what the others are to see of it, null for nothing. */
export interface Place {
  readonly session: string;
  readonly presence: { readonly [key: string]: Json } | null;
  readonly visible: boolean;
}

/** What all tabs are told of a session by the one that leads. */
export interface Standing {
  readonly status: Status;
  readonly rights: readonly Right[] | null;
  readonly roots: Readonly<Record<string, string>>;
  /** The link's own peer, and who else is there. */
  readonly peer: string;
  readonly presence: readonly PresenceEntry[];
  /** What each of this device's tabs shows of itself. */
  readonly tabs: Readonly<Record<string, Json>>;
}

export type TabMessage =
  /** To the leader: this tab has these sessions open, all of them. */
  | { readonly kind: "here"; readonly places: readonly Place[] }
  /** From a new leader: say `here`, and look into the store for what a tab that died did not tell. */
  | { readonly kind: "lead" }
  /** Look into the store for rows that were not told. */
  | { readonly kind: "look" }
  | { readonly kind: "bye" }
  | { readonly kind: "ping" }
  | { readonly kind: "pong" }
  | { readonly kind: "rows"; readonly session: string; readonly rows: readonly Row[] }
  | { readonly kind: "synced"; readonly session: string; readonly rows: readonly number[] }
  | {
      readonly kind: "refused";
      readonly session: string;
      readonly rows: readonly number[];
      readonly code: string;
      readonly reason: string;
    }
  | { readonly kind: "reload"; readonly session: string }
  | { readonly kind: "caught-up"; readonly session: string; readonly count: number }
  | {
      readonly kind: "link";
      readonly status: Status;
      readonly subject: string;
      readonly frameBytesMax: number;
      readonly presenceBytesMax: number;
    }
  | { readonly kind: "standing"; readonly session: string; readonly standing: Standing }
  /** To the leader: try again now, with this token if there is one. */
  | { readonly kind: "retry"; readonly token: string | null }
  /** To the leader: ask the server for this page of the list of sessions. */
  | { readonly kind: "ask"; readonly watch: Watch }
  /** From the leader: what the server says of the list of sessions, and of a page what was asked. */
  | { readonly kind: "listed"; readonly asked: Watch | null; readonly told: Listed }
  | { readonly kind: "forget"; readonly session: string; readonly layer?: Layer };

export interface TabsHost {
  /** This tab leads from now on. */
  lead(): void;
  /** Another tab took the lead: this one slept. */
  demoted(): void;
  heard(message: TabMessage, from: string, leads: boolean): void;
  /** A tab that was `watch`ed is gone. */
  gone(tab: string): void;
  /** The tab that leads is asked and says nothing, or says something again. */
  quiet(isQuiet: boolean): void;
}

interface Envelope {
  readonly from: string;
  readonly leads: boolean;
  readonly message: TabMessage;
}

/** A leader that gave no sign of life for so many turns of so long is replaced: 1.5 s for a tab that is awake. */
const PONG_TURNS = 30;
const PONG_TURN_MS = 50;
/** What it said of the link is no longer believed after this many. */
const QUIET_TURNS = 10;
/** Several that notice at once do not all take over at once. */
const SPREAD_TURNS = 6;

/**
 * One tab among the tabs of its device.
 *
 * 1. Whoever holds the lock leads. It goes to the next when its holder closes, crashes or is taken for gone.
 * 2. A tab is asked for a sign of life when that matters, and never taken for gone because it was quiet: the timers of
 *    hidden tabs are slow, their messages are not.
 * 3. The one that was taken for gone and was not learns so from its lock, and leads no longer. What it does until then
 *    another may do, too.
 * 4. Where there are no locks (a page that is not secure) or no channel, every tab leads for itself: all that leaders do
 *    may be done by several.
 * 5. A tab that left and is back is another one: that the one before is gone is told late, and means only that one.
 */
export class Tabs {
  /** This life of this tab among the others: another one with every `join`. Empty before the first. */
  tab = "";
  readonly #name: string;
  readonly #host: TabsHost;
  #channel: BroadcastChannel | null = null;
  #joined = false;
  /** Ends the wait for the lock. */
  #waiting: AbortController | null = null;
  /** Gives the lock away. */
  #release: (() => void) | null = null;
  #leads = false;
  #life = new AbortController();
  #watched = new Set<string>();
  #signs = 0;
  #isQuiet = false;
  #checking: Promise<void> | null = null;

  constructor(store: string, host: TabsHost) {
    this.#name = `syncd:${store}`;
    this.#host = host;
  }

  get leads(): boolean {
    return this.#leads;
  }

  /** Whether this tab is among the others. */
  get joined(): boolean {
    return this.#joined;
  }

  /** Join the others, and lead if nobody does. */
  join(): void {
    if (this.#joined) return;
    this.#joined = true;
    this.tab = randomId(); // Invariant 5.
    this.#life = new AbortController();
    if (typeof BroadcastChannel !== "undefined") {
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.onmessage = (event: MessageEvent<Envelope>) => this.#hear(event.data);
    }
    if (navigator.locks === undefined || this.#channel === null) {
      this.#lead(); // Invariant 4.
      return;
    }
    // Held as long as this tab lives: whoever asks for it learns when it does not.
    void hold(this.#lockOf(this.tab), this.#life.signal);
    this.#contend(false);
  }

  /** Leave the others: lead no longer, hear and say nothing. */
  leave(): void {
    if (!this.#joined) return;
    this.#joined = false;
    this.post({ kind: "bye" });
    this.#channel?.close();
    this.#channel = null;
    this.#quiet(false);
    this.#life.abort();
    this.#waiting?.abort();
    this.#leads = false;
    this.#release?.();
    this.#release = null;
    this.#watched.clear();
  }

  post(message: TabMessage): void {
    this.#channel?.postMessage({ from: this.tab, leads: this.#leads, message } satisfies Envelope);
  }

  /** Have `gone` told when this tab closes or crashes. */
  watch(tab: string): void {
    if (navigator.locks === undefined || this.#watched.has(tab)) return;
    this.#watched.add(tab);
    const { signal } = this.#life;
    void navigator.locks
      .request(this.#lockOf(tab), { signal }, () => {
        this.#watched.delete(tab);
        this.#host.gone(tab);
      })
      .catch(ended);
  }

  /** Ask the leader for a sign of life, and take over if there is none. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => (this.#checking = null));
    return this.#checking;
  }

  async #check(): Promise<void> {
    if (this.#leads || this.#channel === null || navigator.locks === undefined) return;
    const channel = this.#channel;
    const before = this.#signs;
    this.post({ kind: "ping" });
    // Turns and not time: where this tab was asleep itself, it hears first what it was told meanwhile.
    for (let turn = Math.floor(Math.random() * SPREAD_TURNS); turn < PONG_TURNS + SPREAD_TURNS; turn += 1) {
      await new Promise((resolve) => setTimeout(resolve, PONG_TURN_MS));
      if (this.#signs !== before || this.#channel !== channel || this.#leads) return;
      if (turn === QUIET_TURNS) this.#quiet(true);
    }
    this.#contend(true);
  }

  #hear({ from, leads, message }: Envelope): void {
    if (leads) {
      this.#signs += 1;
      this.#quiet(false);
    }
    if (message.kind === "ping" && this.#leads) this.post({ kind: "pong" });
    this.#host.heard(message, from, leads);
  }

  #quiet(isQuiet: boolean): void {
    if (this.#isQuiet === isQuiet) return;
    this.#isQuiet = isQuiet;
    this.#host.quiet(isQuiet);
  }

  #contend(steal: boolean): void {
    this.#waiting?.abort();
    const waiting = (this.#waiting = new AbortController());
    const options: LockOptions = steal ? { steal } : { signal: waiting.signal };
    void navigator.locks
      .request(`${this.#name}:lead`, options, () => {
        if (waiting.signal.aborted) return undefined;
        return new Promise<void>((release) => {
          this.#release = release;
          this.#lead();
        });
      })
      .catch((error: unknown) => {
        ended(error);
        if (waiting.signal.aborted || this.#waiting !== waiting || !this.#leads) return;
        this.#leads = false; // Invariant 3.
        this.#release = null;
        this.#host.demoted();
        if (this.#joined) this.#contend(false);
      });
  }

  #lead(): void {
    this.#leads = true;
    this.#quiet(false);
    this.#host.lead();
  }

  #lockOf(tab: string): string {
    return `${this.#name}:tab:${tab}`;
  }
}

async function hold(name: string, signal: AbortSignal): Promise<void> {
  await navigator.locks.request(
    name,
    () =>
      new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener("abort", () => resolve());
      }),
  );
}

/** A request for a lock ends with an AbortError when it was given up or taken; anything else is a mistake here. */
function ended(error: unknown): void {
  if ((error as DOMException | null)?.name !== "AbortError") throw error;
}
