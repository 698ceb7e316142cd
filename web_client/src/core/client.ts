/**
 * Client: one tab of this device: its store, the sessions it has open, its place among the other tabs, and, when it
 * leads, the link.
 *
 * Puts the parts together; what a session is to an app is its session's.
 */

import { Copies } from "./copies.js";
import type { Copy, CopyHost } from "./copy.js";
import { LocalProtocolError, StoreError } from "./errors.js";
import { DEFAULT_LIMITS } from "./limits.js";
import type { Listed, Watch as Ask } from "./messages.js";
import { isId } from "./ids.js";
import type { Lead, LeadHost } from "./lead.js";
import { TIMING } from "./timing.js";
import type { Token } from "./link.js";
import type { Timing } from "./timing.js";
import type { Json, Right } from "./messages.js";
import type { Replica } from "./replica.js";
import { Session } from "./session.js";
import type { SessionOptions } from "./session.js";
import { OFFLINE } from "./status.js";
import type { Status } from "./status.js";
import { Store } from "./store.js";
import type { Row } from "./store.js";
import { Tabs } from "./tabs.js";
import type { Place, TabMessage, TabsHost } from "./tabs.js";
import { isShown, Watch } from "./watch.js";
import type { WatchHost } from "./watch.js";

/** A session that this device has a copy of. */
export interface Kept {
  readonly session: string;
  /** Own edits that are not on the server's disk. */
  readonly unsynced: number;
}

/** The same, with what is known of it without reading its copy. */
export interface Known extends Kept {
  /** What the grant allowed when the server said it last; null before that. */
  readonly rights: readonly Right[] | null;
  /** Its last row: another where something was written. */
  readonly last: number;
  /** What was remembered of its copy; undefined where that is another by now. */
  readonly remembered: Json | undefined;
}

export interface ClientOptions {
  /** `http://` or `https://`; where this page came from. */
  readonly server?: string;
  readonly token?: Token;
  /** Name of this device's store: one for each person and server. */
  readonly store?: string;
  /** Ask the browser not to evict this page's data, once, when the first edit is saved; `false`: you ask, or nobody. */
  readonly persist?: boolean;
  /** How long things may take; those left out are as usual. */
  readonly timing?: Partial<Timing>;
}

/** What the one that leads says of the link. */
type LinkTold = Pick<Extract<TabMessage, { kind: "link" }>, "status" | "frameBytesMax" | "presenceBytesMax">;

const REOPEN_MS = 50;
const REOPEN_MAX_MS = 3_000;
const CUT_OFF: Status = { ...OFFLINE, reason: "this tab's network is switched off" };
const QUIET: Status = { ...OFFLINE, link: "reconnecting", reason: "the tab that has the link does not answer" };

/**
 * One tab's client.
 *
 * 1. Everything works without a network, and whether or not this tab leads.
 * 2. A tab that slept, was hidden or was cut off reads from the store what it was not told.
 * 3. It never waits for another tab: what is saved is in the store, and whoever leads next finds it there.
 */
export class Client implements TabsHost, LeadHost, CopyHost, WatchHost {
  readonly url: string;
  readonly storeName: string;
  readonly timing: Timing;
  readonly #persist: boolean;
  #token: Token;
  readonly #tabs: Tabs;
  readonly #copies = new Copies(this);
  readonly #watch = new Watch(this);
  readonly #sessions = new Set<Session>();
  readonly #listeners = new Set<() => void>();
  readonly #opened: Promise<void>;
  #store: Store | null = null;
  #lead: Lead | null = null;
  #told: LinkTold = { ...DEFAULT_LIMITS, status: OFFLINE };
  /** The tab that leads gives no sign of life. */
  #quiet = false;
  /** The browser was asked to keep what is stored. */
  #asked = false;
  #cut = false;
  #closed = false;
  #failed: StoreError | null = null;

  constructor(options: ClientOptions = {}) {
    this.url = options.server ?? location.origin;
    if (!/^https?:\/\//.test(this.url)) {
      throw new LocalProtocolError(`${this.url} is not a server's address: it starts with http:// or https://`);
    }
    this.#token = options.token;
    this.storeName = options.store ?? "syncd";
    this.timing = { ...TIMING, ...options.timing };
    this.#persist = options.persist ?? true;
    this.#tabs = new Tabs(this.storeName, this);
    this.#opened = this.#start();
    this.#opened.catch(() => {}); // Whoever opens a session is told.
  }

  async #start(): Promise<void> {
    try {
      this.#store = await Store.open(this.storeName, (error) => void this.#gone(error));
    } catch (error) {
      this.#failed = error as StoreError;
      this.#tell();
      throw error;
    }
    if (this.#closed) return;
    if (!this.#cut) this.#tabs.join();
    this.#say();
    this.#watch.start();
    // A tab that takes over from a frozen one may get nothing then: whatever serves files, a worker too, may be frozen
    // along with it. If it does not load now, `#begin` tries again and says so.
    import("./lead.js").catch(() => {});
  }

  // What apps use

  /** Where the link stands, which all tabs of this device share. */
  get status(): Status {
    const gone = this.#failed ?? this.#store?.gone ?? null;
    if (gone !== null) return { ...OFFLINE, link: "refused", reason: gone.message };
    if (this.#cut) return CUT_OFF;
    if (this.#lead !== null) return this.#lead.status;
    return this.#quiet && this.#told.status.link === "live" ? QUIET : this.#told.status;
  }

  /** Whether this tab is the one that holds the link. */
  get leads(): boolean {
    return this.#lead !== null;
  }

  /** Call `listener` when the status is another. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** When the link is live. */
  async live(): Promise<void> {
    if (this.status.link === "live") return;
    await new Promise<void>((resolve) => {
      const stop = this.subscribe(() => {
        if (this.status.link !== "live") return;
        stop();
        resolve();
      });
    });
  }

  /**
   * Open a session's copy from this device's store; it goes live by itself. Each call is to be closed by its own.
   *
   * Throws `LocalProtocolError` for what is no id, `StoreError` where the store cannot be used or does not read.
   */
  async replica(session: string): Promise<Replica> {
    if (!isId(session)) {
      throw new LocalProtocolError(`${session} is not a session's id: 1 to 64 of A-Z a-z 0-9 _ -`);
    }
    if (this.#closed) throw new LocalProtocolError("the client is closed: make a new one");
    await this.#opened;
    const copy = await this.#copies.use(session);
    this.#say();
    return copy;
  }

  /**
   * Open a session from this device's store; it goes live by itself. Several may be open of one, each with its own
   * `close`. Throws as `replica`.
   */
  open(session: string): Promise<Session> {
    return this.opened(session, Session);
  }

  /** Open a session as one of a kind: what it is to an app. */
  protected async opened<S extends Session>(
    session: string,
    kind: new (replica: Replica, options: SessionOptions) => S,
  ): Promise<S> {
    const opened: S = new kind(await this.replica(session), {
      onClose: () => {
        this.#sessions.delete(opened);
        this.inUseMoved();
      },
    });
    this.#sessions.add(opened);
    this.inUseMoved();
    return opened;
  }

  /** The sessions that this device has a copy of, and how many own edits of each are not synced. */
  async sessions(): Promise<readonly Kept[]> {
    await this.#opened;
    return (await this.store.sessions()).map(({ session, unsynced }) => ({ session, unsynced }));
  }

  /** The same, without reading their copies. */
  async known(): Promise<readonly Known[]> {
    await this.#opened;
    return (await this.store.sessions()).map(({ session, unsynced, rights, last, memo }) => {
      return { session, unsynced, rights, last, remembered: memo?.row === last ? memo.value : undefined };
    });
  }

  /** Called when a session is opened or closed in this tab. */
  inUseMoved: () => void = () => {};

  /** Called when the copy of a session is erased, by this tab or another. */
  erased: (session: string) => void = () => {};

  /** The sessions that are open in this tab, but for those whose copies were erased meanwhile. */
  get inUse(): Iterable<Session> {
    return this.#sessions;
  }

  /** Keep something short about the copy of a session until that is another. */
  protected async remember(session: string, look: (copy: Replica) => Json): Promise<Json> {
    const row = await this.store.last(session);
    const value = await this.peek(session, look);
    if (row > 0) await this.store.remember(session, { row, value });
    return value;
  }

  /** Look into the copy of a session, without opening that. Throws as `replica`. */
  protected async peek<T>(session: string, look: (copy: Replica) => T): Promise<T> {
    const copy = await this.#copies.load(session);
    try {
      return look(copy);
    } finally {
      this.#copies.release(session);
    }
  }

  /** Erase this device's copy, unsynced edits included, in all tabs. The server keeps the session. */
  async forget(session: string): Promise<void> {
    await this.#opened;
    this.post({ kind: "forget", session });
    this.#forgotten(session);
    await this.store.forget(session);
  }

  /** Try to connect now, also after a refusal: the network is back, or something changed on the server. */
  retry(): void {
    this.#lead?.retry(null);
    this.post({ kind: "retry", token: null });
  }

  /** Use another token from now on: connect with it, anew if there is a link. */
  useToken(token: Token): void {
    this.#token = token;
    if (this.#lead !== null) this.#lead.renewed();
    else void this.#giveToken();
  }

  /** Cut this tab off from the server and from the other tabs, or let it back. What is written meanwhile is saved. */
  network(on: boolean): void {
    if (this.#cut === !on || this.#closed) return;
    this.#cut = !on;
    if (on) this.#rejoin();
    else this.#part();
  }

  /** Save what is not saved, and let go of everything. What is not synced stays for another tab, or the next visit. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#opened.catch(() => {});
    await Promise.all([...this.#sessions].map((session) => session.close().catch(() => {})));
    await Promise.all([...this.#copies].map((copy) => copy.saved().catch(() => {})));
    this.#watch.stop();
    this.#part();
    for (const { session } of this.#copies) this.#copies.drop(session);
    await this.#store?.close();
  }

  // CopyHost and LeadHost

  get store(): Store {
    if (this.#store === null) throw this.#failed ?? new StoreError("the store is not open");
    return this.#store;
  }

  get tab(): string {
    return this.#tabs.tab;
  }

  get subject(): string {
    return this.#store?.subject ?? "";
  }

  get frameBytesMax(): number {
    return this.#lead?.limits.frameBytesMax ?? this.#told.frameBytesMax;
  }

  get presenceBytesMax(): number {
    return this.#lead?.limits.presenceBytesMax ?? this.#told.presenceBytesMax;
  }

  get linkStatus(): Status {
    return this.status;
  }

  get token(): Token {
    return this.#token;
  }

  stored(copy: Copy, rows: readonly Row[]): void {
    this.post({ kind: "rows", session: copy.session, rows });
    this.#lead?.take(copy.session, rows);
    this.#watch.later();
    if (this.#asked) return;
    this.#asked = true;
    // There is something to lose now. Whether the browser agrees changes nothing here.
    if (this.#persist) globalThis.navigator?.storage?.persist?.().catch(() => {});
  }

  presenceMoved(): void {
    this.#say();
  }

  released(copy: Copy): void {
    this.#say();
    this.#copies.release(copy.session);
  }

  async copy(session: string): Promise<Copy> {
    const copy = await this.#copies.load(session);
    this.#copies.keep(copy, true);
    return copy;
  }

  drop(copy: Copy): void {
    this.#copies.keep(copy, false);
  }

  post(message: TabMessage): void {
    this.#tabs.post(message);
  }

  watch(tab: string): void {
    if (tab !== this.tab) this.#tabs.watch(tab);
  }

  linkStands(): void {
    this.#tell();
  }

  listed(asked: Ask | null, told: Listed): void {
    this.post({ kind: "listed", asked, told });
    this.toldOf(asked, told);
  }

  /** What the server says of the list of sessions, to any tab. For whoever builds on this. */
  protected toldOf(_asked: Ask | null, _told: Listed): void {}

  /** Have the tab that leads ask for a page of the list of sessions. */
  ask(watch: Ask): void {
    if (this.#lead !== null) this.#lead.ask(watch);
    else this.post({ kind: "ask", watch });
  }

  // TabsHost

  lead(): void {
    void this.#begin();
  }

  /** Load what only a tab that leads needs, and begin. Without it this tab works on, as without a network. */
  async #begin(): Promise<void> {
    let made: typeof Lead;
    try {
      ({ Lead: made } = await import("./lead.js"));
    } catch (error) {
      const reason = `the part of this page that connects did not load: ${error instanceof Error ? error.message : String(error)}`;
      this.#told = { ...this.#told, status: { ...OFFLINE, reason } };
      this.#tell();
      return; // `passed` tries again.
    }
    if (!this.#tabs.leads || this.#lead !== null) return; // It was taken over meanwhile, or begun twice.
    this.#lead = new made(this, this.#told.status.link === "live");
    // Those that the leader before spoke of are another's now.
    this.#say();
    void this.#lead.start();
    this.#tell();
  }

  quiet(isQuiet: boolean): void {
    this.#quiet = isQuiet;
    this.#tell();
  }

  demoted(): void {
    this.#lead?.stop();
    this.#lead = null;
    this.#told = { ...this.#told, status: { ...OFFLINE, link: "reconnecting" } };
    this.#tell();
    this.#copies.catchUp();
    this.#say();
  }

  gone(tab: string): void {
    this.#lead?.gone(tab);
    // It may have died after it stored something, and before it told.
    this.#copies.catchUp();
    this.#lead?.look();
    this.post({ kind: "look" });
  }

  heard(message: TabMessage, from: string, leads: boolean): void {
    // What a leader says that was replaced and does not know it yet is true, but for where the link stands.
    switch (message.kind) {
      case "here":
        this.#lead?.places(from, message.places);
        break;
      case "lead":
        this.#say();
        this.#copies.catchUp();
        break;
      case "look":
        this.#copies.catchUp();
        this.#lead?.look();
        break;
      case "bye":
        this.#lead?.gone(from);
        break;
      case "ping":
        this.#lead?.hint();
        break;
      case "pong":
        break;
      case "rows":
        this.#copies.heard(message);
        if (!leads) this.#lead?.take(message.session, message.rows);
        break;
      case "link":
        if (this.#lead !== null || !leads) break;
        if (this.#store !== null && message.subject !== "") this.#store.subject = message.subject;
        this.#told = message;
        this.#tell();
        break;
      case "retry":
        this.#lead?.retry(message.token);
        break;
      case "ask":
        this.#lead?.ask(message.watch);
        break;
      case "listed":
        this.toldOf(message.asked, message.told);
        break;
      case "forget":
        this.#forgotten(message.session);
        break;
      case "standing":
        if (this.#lead === null) this.#copies.heard(message);
        break;
      default:
        this.#copies.heard(message);
    }
  }

  #forgotten(session: string): void {
    this.#lead?.forget(session);
    this.#copies.drop(session);
    for (const opened of this.#sessions) if (opened.id === session) this.#sessions.delete(opened);
    this.erased(session);
  }

  // Places

  /** Tell the leader which sessions this tab has open, and what it shows of itself. */
  #say(): void {
    const places: Place[] = [...this.#copies]
      .filter((copy) => copy.users > 0)
      .map((copy) => ({ session: copy.session, presence: copy.ownPresence, visible: isShown() }));
    if (this.#lead === null) this.post({ kind: "here", places });
    else this.#lead.places(this.tab, places);
  }

  #part(): void {
    this.#lead?.stop();
    this.#lead = null;
    this.#tabs.leave();
    for (const copy of this.#copies) copy.parted();
    this.#told = { ...this.#told, status: OFFLINE };
    this.#tell();
  }

  #rejoin(): void {
    if (this.#store === null || this.#store.gone !== null) return;
    this.#tabs.join();
    this.#copies.catchUp(); // Invariant 2.
    this.post({ kind: "look" });
    this.#say();
    this.#tell();
  }

  #tell(): void {
    for (const copy of this.#copies) copy.linkStands();
    for (const listener of this.#listeners) listener();
  }

  async #giveToken(): Promise<void> {
    try {
      const token = typeof this.#token === "function" ? await this.#token() : (this.#token ?? "");
      if (typeof token === "string") this.post({ kind: "retry", token });
    } catch {
      // There is none now. The one that leads goes on with its own, and this tab asks again when it leads.
    }
  }

  // WatchHost

  get waits(): boolean {
    return [...this.#copies].some((copy) => copy.unsynced > 0);
  }

  awake(): void {
    if (this.#cut || !this.#tabs.joined) return;
    this.#copies.catchUp();
    this.#say();
    this.#lead?.hint();
    void this.#tabs.check();
  }

  hidden(): void {
    this.#say();
  }

  /** It must not hold the lead meanwhile. */
  aside(): void {
    this.#part();
  }

  back(): void {
    if (!this.#cut) this.#rejoin();
  }

  passed(): void {
    if (isShown()) void this.#tabs.check();
    if (this.#tabs.leads && this.#lead === null) void this.#begin();
  }

  // The store

  /** While the browser is still erasing, it opens nothing. */
  async #reopen(): Promise<Store> {
    for (let wait = REOPEN_MS; ; wait *= 2) {
      try {
        return await Store.open(this.storeName, (error) => void this.#gone(error));
      } catch (error) {
        if (wait > REOPEN_MAX_MS) throw error;
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  async #gone(error: StoreError): Promise<void> {
    if (this.#closed) return;
    this.#part();
    if (error.code !== "cleared") return;
    try {
      this.#store = await this.#reopen();
      for (const copy of this.#copies) await copy.rescue();
      if (!this.#cut) this.#rejoin();
    } catch (failed) {
      this.#failed = failed as StoreError;
      this.#tell();
    }
  }
}
