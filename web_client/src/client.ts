/**
 * Client: one tab of this device: its store, the sessions it has open, its place among the other tabs, and, when it
 * leads, the link.
 *
 * Puts the parts together; what a session is to an app is `Session`'s.
 */

import { Copy } from "./copy.js";
import type { CopyHost } from "./copy.js";
import { LocalProtocolError, StoreError } from "./errors.js";
import { DEFAULT_LIMITS } from "./limits.js";
import { isId } from "./ids.js";
import type { Lead, LeadHost } from "./lead.js";
import { TIMING } from "./timing.js";
import type { Token } from "./link.js";
import type { Timing } from "./timing.js";
import type { Replica } from "./replica.js";
import { Session } from "./session.js";
import { OFFLINE } from "./status.js";
import type { Status } from "./status.js";
import { Store } from "./store.js";
import type { Row } from "./store.js";
import { summarize } from "./summary.js";
import type { Summary } from "./summary.js";
import { Tabs } from "./tabs.js";
import type { Place, TabMessage, TabsHost } from "./tabs.js";

export interface ClientOptions {
  /** `http://` or `https://`; where this page came from. */
  readonly server?: string;
  readonly token?: Token;
  /** Name of this device's store: one for each person and server. */
  readonly store?: string;
  /** How long things may take; those left out are as usual. */
  readonly timing?: Partial<Timing>;
}

/** The leader is asked for a sign of life while own edits wait, and else now and then. */
const CHECK_UNSYNCED_MS = 2_000;
const CHECK_MS = 10_000;
const REOPEN_MS = 50;
const REOPEN_MAX_MS = 3_000;
const CUT_OFF: Status = { ...OFFLINE, reason: "this tab's network is switched off" };

/**
 * One tab's client.
 *
 * 1. Everything works without a network, and whether or not this tab leads.
 * 2. A tab that slept, was hidden or was cut off reads from the store what it was not told.
 * 3. It never waits for another tab: what is saved is in the store, and whoever leads next finds it there.
 */
export class Client implements TabsHost, LeadHost, CopyHost {
  readonly url: string;
  readonly storeName: string;
  readonly timing: Timing;
  #token: Token;
  readonly #tabs: Tabs;
  readonly #copies = new Map<string, { copy: Copy; loaded: Promise<Copy>; kept: boolean }>();
  readonly #sessions = new Set<Session>();
  readonly #listeners = new Set<() => void>();
  readonly #life = new AbortController();
  readonly #opened: Promise<void>;
  #store: Store | null = null;
  #lead: Lead | null = null;
  #told: { status: Status; frameBytesMax: number } = { status: OFFLINE, frameBytesMax: DEFAULT_LIMITS.frameBytesMax };
  #cut = false;
  #closed = false;
  #failed: StoreError | null = null;
  #check: ReturnType<typeof setTimeout> | null = null;
  /** That it is about edits that wait. */
  #checkSoon = false;

  constructor(options: ClientOptions = {}) {
    this.url = options.server ?? location.origin;
    if (!/^https?:\/\//.test(this.url)) {
      throw new LocalProtocolError(`${this.url} is not a server's address: it starts with http:// or https://`);
    }
    this.#token = options.token;
    this.storeName = options.store ?? "syncd";
    this.timing = { ...TIMING, ...options.timing };
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
    this.#watchPage();
    if (!this.#cut) this.#tabs.join();
    this.#say();
    this.#checkLater();
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
    return this.#lead?.status ?? this.#told.status;
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
    const copy = await this.#load(session);
    copy.users += 1;
    this.#say();
    return copy;
  }

  /**
   * Open a session from this device's store; it goes live by itself. Several may be open of one, each with its own
   * `close`. Throws as `replica`.
   */
  async open(session: string): Promise<Session> {
    const replica = await this.replica(session);
    const opened: Session = new Session(replica, { onClose: () => this.#sessions.delete(opened) });
    this.#sessions.add(opened);
    return opened;
  }

  /** What a list shows of the sessions that this device has a copy of, the last written in first. */
  async sessions(): Promise<Summary[]> {
    await this.#opened;
    const found: Summary[] = [];
    for (const { session, unsynced, rights } of await this.store.sessions()) {
      const copy = await this.#load(session);
      const onlooker = { session, subject: this.subject, unsynced, mayDecide: rights?.includes("command") ?? true };
      found.push(summarize(onlooker, copy.document("transcript"), copy.document("state")));
      this.#dropUnused(session);
    }
    return found.sort((one, two) => two.lastAt - one.lastAt);
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
    await Promise.all([...this.#copies.values()].map(({ copy }) => copy.saved().catch(() => {})));
    this.#life.abort();
    if (this.#check !== null) clearTimeout(this.#check);
    this.#part();
    for (const { copy } of this.#copies.values()) copy.destroy();
    this.#copies.clear();
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

  get linkStatus(): Status {
    return this.status;
  }

  get token(): Token {
    return this.#token;
  }

  stored(copy: Copy, rows: readonly Row[]): void {
    this.post({ kind: "rows", session: copy.session, rows });
    this.#lead?.take(copy.session, rows);
    this.#checkLater();
  }

  presenceMoved(): void {
    this.#say();
  }

  released(copy: Copy): void {
    this.#say();
    this.#dropUnused(copy.session);
  }

  async copy(session: string): Promise<Copy> {
    const copy = await this.#load(session);
    const entry = this.#copies.get(session);
    if (entry !== undefined) entry.kept = true;
    return copy;
  }

  drop(copy: Copy): void {
    const entry = this.#copies.get(copy.session);
    if (entry?.copy !== copy) return;
    entry.kept = false;
    this.#dropUnused(copy.session);
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
      return; // `#checkLater` tries again.
    }
    if (!this.#tabs.leads || this.#lead !== null) return; // It was taken over meanwhile, or begun twice.
    this.#lead = new made(this, this.#told.status.link === "live");
    // Those that the leader before spoke of are another's now.
    this.#say();
    void this.#lead.start();
    this.#tell();
  }

  demoted(): void {
    this.#lead?.stop();
    this.#lead = null;
    this.#told = { ...this.#told, status: { ...OFFLINE, link: "reconnecting" } };
    this.#tell();
    this.#look();
    this.#say();
  }

  gone(tab: string): void {
    this.#lead?.gone(tab);
    // It may have died after it stored something, and before it told.
    this.#look();
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
        this.#look();
        break;
      case "look":
        this.#look();
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
        this.#copies.get(message.session)?.copy.absorb(message.rows);
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
      case "forget":
        this.#forgotten(message.session);
        break;
      default:
        this.#heardOf(message);
    }
  }

  /** Something about one session that is open here, from the leader. */
  #heardOf(message: Extract<TabMessage, { kind: "synced" | "refused" | "reload" | "caught-up" | "standing" }>): void {
    const copy = this.#copies.get(message.session)?.copy;
    if (copy === undefined) return;
    switch (message.kind) {
      case "synced":
        copy.syncedRows(message.rows);
        break;
      case "refused":
        void copy.refusedRows(message.rows, message.code, message.reason).catch(() => {});
        break;
      case "reload":
        void copy.reload().catch(() => {});
        break;
      case "caught-up":
        copy.caughtUp(message.count);
        break;
      case "standing":
        if (this.#lead === null) copy.stands(message.standing);
        break;
    }
  }

  // Copies

  async #load(session: string): Promise<Copy> {
    let entry = this.#copies.get(session);
    if (entry === undefined) {
      const copy = new Copy(session, this);
      const loaded = copy.load().then(
        async () => {
          await copy.catchUp();
          return copy;
        },
        (error: unknown) => {
          this.#copies.delete(session);
          throw error;
        },
      );
      entry = { copy, loaded, kept: false };
      this.#copies.set(session, entry);
    }
    return entry.loaded;
  }

  #dropUnused(session: string): void {
    const entry = this.#copies.get(session);
    if (entry === undefined || entry.kept || entry.copy.users > 0) return;
    this.#copies.delete(session);
    entry.copy.destroy();
  }

  #forgotten(session: string): void {
    this.#lead?.forget(session);
    const entry = this.#copies.get(session);
    this.#copies.delete(session);
    entry?.copy.destroy();
  }

  // Places

  /** Tell the leader which sessions this tab has open, and what it shows of itself. */
  #say(): void {
    const visible = typeof document === "undefined" || !document.hidden;
    const places: Place[] = [...this.#copies.values()]
      .filter(({ copy }) => copy.users > 0)
      .map(({ copy }) => ({ session: copy.session, presence: copy.ownPresence, visible }));
    if (this.#lead === null) this.post({ kind: "here", places });
    else this.#lead.places(this.tab, places);
  }

  #look(): void {
    for (const { copy, loaded } of this.#copies.values()) {
      loaded.then(() => copy.catchUp()).catch(() => {}); // A store that is gone has been told of.
    }
  }

  #part(): void {
    this.#lead?.stop();
    this.#lead = null;
    this.#tabs.leave();
    this.#told = { ...this.#told, status: OFFLINE };
    this.#tell();
  }

  #rejoin(): void {
    if (this.#store === null || this.#store.gone !== null) return;
    this.#tabs.join();
    this.#look(); // Invariant 2.
    this.post({ kind: "look" });
    this.#say();
    this.#tell();
  }

  #tell(): void {
    const { link } = this.status;
    for (const { copy } of this.#copies.values()) copy.linkStands(link === "live");
    for (const listener of this.#listeners) listener();
  }

  async #giveToken(): Promise<void> {
    try {
      const token = typeof this.#token === "function" ? await this.#token() : (this.#token ?? "");
      this.post({ kind: "retry", token });
    } catch {
      // There is none now. The one that leads goes on with its own, and this tab asks again when it leads.
    }
  }

  // The page and the store

  #watchPage(): void {
    if (typeof document === "undefined") return;
    const { signal } = this.#life;
    const awake = (): void => this.#awake();
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#say() : awake()), { signal });
    document.addEventListener("resume", awake, { signal });
    addEventListener("online", awake, { signal });
    addEventListener("offline", awake, { signal });
    // Kept by the browser for the way back: it must not hold the lead meanwhile.
    window.addEventListener("pagehide", (event) => event.persisted && this.#part(), { signal });
    window.addEventListener("pageshow", (event) => event.persisted && !this.#cut && this.#rejoin(), { signal });
  }

  #awake(): void {
    if (this.#cut || !this.#tabs.joined) return;
    this.#look();
    this.#say();
    this.#lead?.hint();
    void this.#tabs.check();
  }

  #checkLater(): void {
    if (this.#closed) return;
    const unsynced = [...this.#copies.values()].some(({ copy }) => copy.unsynced > 0);
    if (this.#check !== null) {
      if (this.#checkSoon || !unsynced) return;
      clearTimeout(this.#check);
    }
    this.#checkSoon = unsynced;
    this.#check = setTimeout(
      () => {
        this.#check = null;
        if (typeof document === "undefined" || !document.hidden) void this.#tabs.check();
        if (this.#tabs.leads && this.#lead === null) void this.#begin();
        this.#checkLater();
      },
      unsynced ? CHECK_UNSYNCED_MS : CHECK_MS,
    );
  }

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
      for (const { copy } of this.#copies.values()) await copy.rescue();
      if (!this.#cut) this.#rejoin();
    } catch (failed) {
      this.#failed = failed as StoreError;
      this.#tell();
    }
  }
}
