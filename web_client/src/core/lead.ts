/**
 * Lead: what the one tab that leads does for all: the link, and a way for each session that is open or unsynced.
 *
 * Lives from when its tab got the lead until it lost it.
 */

import type { Copy } from "./copy.js";
import { LocalProtocolError } from "./errors.js";
import { DEFAULT_LIMITS } from "./limits.js";
import type { Limits } from "./limits.js";
import { Link, Refusal } from "./link.js";
import type { LinkHost, Token } from "./link.js";
import type { Timing } from "./timing.js";
import type { ClientMessage, Listed, ServerMessage, Watch, Welcome } from "./messages.js";
import { OFFLINE } from "./status.js";
import type { Status } from "./status.js";
import type { Row, Store } from "./store.js";
import type { Place, TabMessage } from "./tabs.js";
import { Way } from "./way.js";
import type { WayHost } from "./way.js";

export interface LeadHost {
  readonly url: string;
  readonly store: Store;
  readonly storeName: string;
  readonly timing: Timing;
  readonly token: Token;
  /** Load a session's copy, and keep it until `drop`. Throws `StoreError`. */
  copy(session: string): Promise<Copy>;
  drop(copy: Copy): void;
  post(message: TabMessage): void;
  /** Have another tab's end told. */
  watch(tab: string): void;
  /** The server says this of the list of sessions: of a page, what was `asked`. */
  listed(asked: Watch | null, told: Listed): void;
  /** The link stands elsewhere; so do all sessions. */
  linkStands(): void;
}

const TICK_MS = 5_000;

/**
 * 1. All sessions share one link.
 * 2. What waits in the store is sent, whether or not a tab has its session open.
 * 3. One store is one subject's: the copies of one are never shown to, or pushed by, another.
 */
export class Lead implements LinkHost, WayHost {
  readonly limits: { -readonly [K in keyof Limits]: Limits[K] } = { ...DEFAULT_LIMITS };
  peer = "";
  readonly #host: LeadHost;
  readonly #link: Link;
  readonly #ways = new Map<string, Promise<Way | null>>();
  readonly #running = new Map<string, Way>();
  /** What each tab said last of the sessions that it has open. Each was told where the link stands. */
  readonly #tabs = new Map<string, readonly Place[]>();
  /** What tabs asked of the list of sessions, one under way at a time: an answer does not say which it is of. */
  #asks: Watch[] = [];
  /** A token that another tab gave. */
  #given: string | null = null;
  #ticks: ReturnType<typeof setInterval> | null = null;
  #stopped = false;

  /** `wasLive`: the one that led before had a link a moment ago. */
  constructor(host: LeadHost, wasLive: boolean) {
    this.#host = host;
    this.#link = new Link(host.url, this, host.timing);
    if (wasLive) this.#link.status = { ...OFFLINE, link: "reconnecting" };
  }

  get status(): Status {
    return this.#link.status;
  }

  async start(): Promise<void> {
    this.#host.post({ kind: "lead" });
    this.#ticks = setInterval(() => {
      for (const way of this.#running.values()) way.tick(performance.now());
    }, TICK_MS);
    const link = this.#link;
    const waiting = await this.store.sessions().catch(() => []);
    // Invariant 2.
    await Promise.all(waiting.filter(({ unsynced }) => unsynced > 0).map(({ session }) => this.#way(session)));
    if (!this.#stopped) link.start();
  }

  stop(): void {
    this.#stopped = true;
    if (this.#ticks !== null) clearInterval(this.#ticks);
    this.#link.stop();
    for (const way of this.#running.values()) this.#end(way);
  }

  // What tabs say

  /** These are all the sessions that a tab has open. */
  places(tab: string, places: readonly Place[]): void {
    this.#host.watch(tab);
    const isNew = !this.#tabs.has(tab);
    this.#tabs.set(tab, places);
    if (isNew) this.stands(this.status);
    const open = new Set(places.map(({ session }) => session));
    for (const way of this.#running.values()) if (!open.has(way.session)) way.leave(tab);
    for (const place of places) {
      const way = this.#running.get(place.session);
      if (way === undefined) void this.#way(place.session);
      else way.place(tab, place);
    }
  }

  /** A tab is gone. */
  gone(tab: string): void {
    this.#tabs.delete(tab);
    for (const way of this.#running.values()) way.leave(tab);
  }

  /** A tab stored own edits. */
  take(session: string, rows: readonly Row[]): void {
    const way = this.#running.get(session);
    if (way === undefined) void this.#way(session);
    else way.take(rows);
  }

  /** Look into the store for what was not told. */
  look(): void {
    for (const way of this.#running.values()) void way.look().catch(() => {});
  }

  hint(): void {
    this.#link.hint();
  }

  retry(token: string | null): void {
    if (token === null) this.#link.retry();
    else {
      this.#given = token;
      this.#link.again();
    }
    for (const way of this.#running.values()) way.retry();
  }

  /** The client's own token is another. */
  renewed(): void {
    this.#given = null;
    this.#link.again();
    for (const way of this.#running.values()) way.retry();
  }

  /** Close a session for good. */
  forget(session: string): void {
    const way = this.#running.get(session);
    if (way !== undefined) this.done(way);
  }

  /** Ask for a page of the list of sessions, of which all tabs hear. Without a link it is asked by nobody. */
  ask(watch: Watch): void {
    if (!this.live || this.#asks.push(watch) > 1) return;
    this.send([watch]);
  }

  // LinkHost

  get device(): string {
    return this.store.device;
  }

  get renews(): boolean {
    return typeof this.#host.token === "function";
  }

  async token(): Promise<string> {
    const { token = "" } = this.#host;
    const given = this.#given;
    if (typeof token !== "function") return given ?? token;
    this.#given = null;
    const found: unknown = given ?? (await token());
    if (typeof found !== "string" || found === "") throw new LocalProtocolError("the token function returned none");
    return found;
  }

  up(welcome: Welcome): void {
    const { subject } = this.store;
    if (subject !== "" && subject !== welcome.subject) {
      // Invariant 3.
      throw new Refusal(
        0,
        `the store '${this.#host.storeName}' of this browser is ${subject}'s, and the token is ${welcome.subject}'s: ` +
          "sign in as before, or use another store",
      );
    }
    this.peer = welcome.peer;
    this.limits.frameBytesMax = welcome.frameBytesMax;
    this.limits.presenceBytesMax = welcome.presenceBytesMax;
    if (subject === "") this.store.setSubject(welcome.subject).catch(() => {});
    // When the link calls itself live: the frames go nowhere before that.
    queueMicrotask(() => {
      for (const way of this.#running.values()) way.linkUp();
    });
  }

  down(): void {
    this.peer = "";
    this.#asks = [];
    for (const way of this.#running.values()) way.linkDown();
  }

  receive(message: ServerMessage): void {
    if (message.kind === "Storage") for (const way of this.#running.values()) way.receive(message);
    else if (message.kind === "IndexChanged" || message.kind === "Refreshed") this.#host.listed(null, message);
    else if (message.kind === "Index") {
      const asked = this.#asks.shift();
      this.send(this.#asks.slice(0, 1)); // First: whoever is told may ask for more, which then waits or goes itself.
      if (asked !== undefined) this.#host.listed(asked, message);
    } else if ("session" in message) this.#running.get(message.session)?.receive(message);
  }

  stands(status: Status): void {
    if (this.#stopped) return;
    const { subject } = this.store;
    const { frameBytesMax, presenceBytesMax } = this.limits;
    this.post({ kind: "link", status, subject, frameBytesMax, presenceBytesMax });
    this.#host.linkStands();
  }

  // WayHost

  get store(): Store {
    return this.#host.store;
  }

  get timing(): Timing {
    return this.#host.timing;
  }

  get live(): boolean {
    return this.#link.live;
  }

  send(messages: readonly ClientMessage[]): void {
    this.#link.send(messages);
  }

  post(message: TabMessage): void {
    this.#host.post(message);
  }

  done(way: Way): void {
    this.send([{ kind: "Leave", session: way.session }]);
    this.#end(way);
  }

  #end(way: Way): void {
    way.stop();
    this.#running.delete(way.session);
    this.#ways.delete(way.session);
    this.#host.drop(way.copy);
  }

  #way(session: string): Promise<Way | null> {
    const known = this.#ways.get(session);
    if (known !== undefined) return known;
    const made = this.#make(session).catch(() => {
      this.#ways.delete(session); // A copy that does not read: whoever opens it is told.
      return null;
    });
    this.#ways.set(session, made);
    return made;
  }

  async #make(session: string): Promise<Way | null> {
    const copy = await this.#host.copy(session);
    if (this.#stopped) {
      this.#host.drop(copy);
      return null;
    }
    const way = new Way(copy, this);
    this.#running.set(session, way);
    // As they are by now: a tab may have closed it, or be gone, since it asked.
    for (const [tab, places] of this.#tabs) {
      for (const place of places) if (place.session === session) way.place(tab, place);
    }
    await way.start();
    if (!way.needed && this.#running.get(session) === way) this.done(way);
    return way;
  }
}
