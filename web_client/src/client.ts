/** Client: the core's client, whose sessions are conversations. Knows nothing of stores, tabs or links. */

import type { Attention } from "./attention.js";
import { Client as CoreClient } from "./core/client.js";
import type { ClientOptions as CoreOptions, Kept } from "./core/client.js";
import type { Listed, Watch } from "./core/messages.js";
import type { Everywhere } from "./search/everywhere.js";
import type { SearchHit } from "./search/requests.js";
import { Session } from "./session.js";
import type { ListOptions, SessionList } from "./session_list.js";
import type { Summary } from "./summary.js";

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
  #attention: Attention | null = null;
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
    // Who is there is heard over the link: until there is one nobody needs the code for that.
    const stop = opened.subscribe(() => attend());
    const attend = () => {
      if (opened.status.link !== "live") return;
      stop();
      import("./attending.js")
        .then(({ Attending, Attention }) => opened.follow(Attending, (this.#attention ??= new Attention())))
        .catch(console.warn); // Without it nobody is seen to be there; all else goes on.
    };
    attend();
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

  protected override toldOf(asked: Watch | null, told: Listed): void {
    for (const list of this.#lists) list.told(asked, told);
  }

  /** Put a session away in one's own list, or back. Rejects without a network, or if the token does not name it. */
  async archive(session: string, archived = true): Promise<void> {
    const { putAway } = await import("./session_list.js");
    await putAway(this.url, this.token, session, archived);
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
    this.#search ??= import("./search/everywhere.js").then(
      ({ Everywhere }) => new Everywhere(this, this.#searchWorker),
    );
    this.#search.catch(() => (this.#search = null)); // Asked again, it is tried again.
    return this.#search;
  }

  /** Erase this device's copy, unsynced edits included, in all tabs and in the search. The server keeps the session. */
  override async forget(session: string): Promise<void> {
    await super.forget(session);
    // An index of an earlier visit may hold it.
    if (this.#search === null && this.#searchWorker === undefined) return;
    try {
      await (await this.searching()).erase(session);
    } catch (error) {
      console.warn(`the search may still find words of session ${session}:`, error);
    }
  }

  override async close(): Promise<void> {
    this.#attention?.close();
    for (const list of this.#lists) list.close();
    await (await this.#search?.catch(() => null))?.close();
    await super.close();
  }

  /** The sessions that this device has a copy of, without a look into them. */
  copies(): Promise<readonly Kept[]> {
    return super.sessions();
  }

  /**
   * What a list shows of the sessions that this device has a copy of, the last written in first.
   *
   * A copy is read for it once, and again when something was written there.
   */
  override async sessions(): Promise<Summary[]> {
    const { summaries } = await import("./summaries.js");
    return summaries(await this.known(), this.inUse, this.subject, (session, look) => this.remember(session, look));
  }
}
