/** Client: the core's client, whose sessions are conversations. Knows nothing of stores, tabs or links. */

import { Attention } from "./attention.js";
import { Client as CoreClient } from "./core/client.js";
import type { ClientOptions as CoreOptions } from "./core/client.js";
import { LocalProtocolError } from "./core/errors.js";
import type { Index, IndexChanged, Json, Watch } from "./core/messages.js";
import type { Session as CoreSession } from "./core/session.js";
import type { Everywhere } from "./search/everywhere.js";
import type { SearchHit } from "./search/requests.js";
import { Session } from "./session.js";
import type { ListOptions, SessionList } from "./session_list.js";
import { summarize } from "./summary.js";
import type { Onlooker, Summary } from "./summary.js";

export interface ClientOptions extends CoreOptions {
  /**
   * Where `search/worker.js` is served, for an index that `search` goes by: a bundler has to be told of a worker where
   * it is named, so the library cannot name it. Without it `search` goes through all copies, one by one.
   */
  readonly searchWorker?: string | URL;
}

const NO_MORE: Watch = { kind: "Watch", after: "", limit: 0, archived: false };

/** One tab's client: as the core's, and it says what a list of sessions shows, and searches all of them. */
export class Client extends CoreClient {
  readonly #attention = new Attention();
  readonly #lists = new Set<SessionList>();
  readonly #searchWorker: string | URL | undefined;
  #search: Promise<Everywhere> | null = null;

  constructor(options: ClientOptions = {}) {
    super(options);
    this.#searchWorker = options.searchWorker;
  }

  /**
   * Open a session from this device's store; it goes live by itself. Several may be open of one, each with its own
   * `close`. Throws as `replica`.
   */
  override async open(session: string): Promise<Session> {
    const opened = await this.opened(session, Session);
    opened.follow(this.#attention);
    if (this.#search !== null) void this.#told(this.#search, (search) => search.attach(opened));
    return opened;
  }

  /**
   * One's list of sessions, from this device and then as the server has it. `close` it when it is not shown any more.
   *
   * Its code is loaded when it is first asked for. Rejects if that cannot be had.
   */
  async index(options?: ListOptions): Promise<SessionList> {
    const { SessionList: Made } = await import("./session_list.js");
    const list = new Made(this, options);
    this.#lists.add(list);
    await list.load();
    return list;
  }

  /** See `session_list.ListHost`. */
  unlist(list: SessionList): void {
    if (this.#lists.delete(list) && this.#lists.size === 0) this.ask(NO_MORE);
  }

  protected override toldOf(asked: Watch | null, told: Index | IndexChanged): void {
    for (const list of this.#lists) list.told(asked, told);
  }

  /** Put a session away in one's own list, or back. Rejects without a network, or if the token does not name it. */
  async archive(session: string, archived = true): Promise<void> {
    const token = typeof this.token === "function" ? await this.token() : (this.token ?? "");
    const headers = { ...(token !== "" && { Authorization: `Bearer ${token}` }), "Content-Type": "application/json" };
    const asked = { method: "PUT", headers, body: JSON.stringify({ archived }) };
    const answer = await fetch(`${this.url}/v1/sessions/${encodeURIComponent(session)}/standing`, asked);
    if (!answer.ok)
      throw new LocalProtocolError(`the server did not put ${session} away: it answered ${answer.status}`);
  }

  /**
   * The messages of all sessions on this device that hold all words of `query`, best first; `limit` of them, 50 if not
   * said. Without a network, too. The last word may be a beginning. See `SearchHit`.
   *
   * Its code is loaded when this is first called; rejects where it does not load.
   */
  async search(query: string, { limit = 50 }: { limit?: number } = {}): Promise<readonly SearchHit[]> {
    return (await (await this.searching()).search(query, limit)).hits;
  }

  /** What `search` asks: it says how it looks for things, and writes a session into a file. Rejects as `search`. */
  searching(): Promise<Everywhere> {
    if (this.#search !== null) return this.#search;
    const loading = import("./search/everywhere.js").then(({ Everywhere }) => {
      const search = new Everywhere(this, this.#searchWorker);
      for (const session of this.inUse) if (session instanceof Session) search.attach(session);
      return search;
    });
    loading.catch(() => (this.#search = null)); // Asked again, it is tried again.
    return (this.#search = loading);
  }

  /** Erase this device's copy, unsynced edits included, in all tabs and in the search. The server keeps the session. */
  override async forget(session: string): Promise<void> {
    await super.forget(session);
    // An index of an earlier visit may hold it.
    const search = this.#searchWorker === undefined ? this.#search : this.searching();
    if (search !== null) await this.#told(search, (loaded) => loaded.erase(session));
  }

  override async close(): Promise<void> {
    this.#attention.close();
    for (const list of this.#lists) list.close();
    if (this.#search !== null) await this.#told(this.#search, (search) => search.close());
    await super.close();
  }

  protected override ended(closed: CoreSession): void {
    if (this.#search === null) return;
    const other = [...this.inUse].find((session) => session.id === closed.id);
    void this.#told(this.#search, (search) => {
      if (other instanceof Session) search.attach(other);
      else search.detach(closed.id);
    });
  }

  /** Tell the search, if its code is there: whoever searches is told if it is not. */
  async #told(search: Promise<Everywhere>, tell: (search: Everywhere) => void | Promise<void>): Promise<void> {
    const loaded = await search.catch(() => null);
    if (loaded !== null) await tell(loaded);
  }

  /**
   * What a list shows of the sessions that this device has a copy of, the last written in first.
   *
   * A copy is read for it once, and again when something was written there.
   */
  override async sessions(): Promise<Summary[]> {
    const open = new Map(Array.from(this.inUse, (session) => [session.id, session]));
    const found: Summary[] = [];
    for (const { session, unsynced, rights, remembered } of await this.known()) {
      const onlooker = { session, subject: this.subject, unsynced, mayDecide: rights?.includes("command") ?? true };
      const isFor = `${onlooker.subject} ${onlooker.mayDecide}`;
      const here = open.get(session);
      const before = remembered as unknown as Remembered | undefined;
      if (here instanceof Session) found.push(here.summary());
      else if (before?.isFor === isFor) found.push({ ...before.summary, unsynced });
      else found.push((await this.#summarize(session, isFor, onlooker)).summary);
    }
    return found.sort((one, two) => two.lastAt - one.lastAt);
  }

  async #summarize(session: string, isFor: string, onlooker: Onlooker): Promise<Remembered> {
    const value = await this.remember(session, (copy) => {
      const summary = summarize(onlooker, copy.document("transcript"), copy.document("state"));
      return { isFor, summary } satisfies Remembered as unknown as Json;
    });
    return value as unknown as Remembered;
  }
}

/** A summary, and who it is for: their subject, and whether they may decide. */
interface Remembered {
  readonly isFor: string;
  readonly summary: Summary;
}
