/**
 * Search: finds messages in all sessions of this device, offline too, and writes a session into an SQLite file.
 *
 * Optional, and never imported by the rest of the library. One tab holds an SQLite copy of the texts, derived from the
 * sessions and thrown away when it is damaged; the others ask that one. Where there is none, messages are gone through
 * one by one. docs/browser.md.
 */

import { Attached } from "./attached.js";
import type { SearchSession } from "./attached.js";
import { Channel } from "./channel.js";
import type { SessionContent } from "./content.js";
import { Feed } from "./feed.js";
import { Unanswered } from "./requests.js";
import type { Ask, Failure, Holder, Reply, Searchable, SearchHit } from "./requests.js";
import { scan } from "./scan.js";
import type { Haystack } from "./scan.js";
import { Tenure, ownLeadership } from "./tenure.js";
import type { Leadership } from "./tenure.js";
import { WorkerLink } from "./worker_link.js";

export { contentOf, contentsOf } from "./content.js";
export type { Cell, SessionContent } from "./content.js";
export type { SearchSession } from "./attached.js";
export type { Failure, Searchable, SearchHit } from "./requests.js";
export { scan } from "./scan.js";
export type { Haystack } from "./scan.js";
export { Unanswered } from "./requests.js";
export { leadershipOf } from "./tenure.js";
export type { Leadership } from "./tenure.js";
export { matches, phrases, snippet } from "./words.js";
export type { Phrase, Snippet } from "./words.js";

export interface SearchOptions {
  /** The name of this device's store: one copy for each. */
  readonly store: string;
  /** Where `search/worker.js` is served, with what it imports: on this origin. Without it there is no index. */
  readonly workerUrl?: string | URL;
  /** Which tab may hold the copy: `leadershipOf(client)`. By default the search elects one of its own. */
  readonly leadership?: Leadership;
  /** A session's content, for `download`: see `contentsOf`. */
  readonly content?: (session: string) => SessionContent | Promise<SessionContent>;
}

export interface SearchStatus {
  /** `index`: from the copy. `scan`: through the messages of the sessions that this tab has attached. */
  readonly mode: "index" | "scan";
  /** Whether it is this tab that holds the copy. */
  readonly holds: boolean;
  /** Why it is a scan; empty otherwise. `starting`: nobody holds a copy yet. */
  readonly code: "" | "starting" | "no-worker" | "closed" | Failure;
  readonly reason: string;
}

const STARTING: SearchStatus = { mode: "scan", holds: false, code: "starting", reason: "no tab holds a copy yet" };
const NO_WORKER: SearchStatus = { mode: "scan", holds: false, code: "no-worker", reason: "no worker was named" };
/** After so long it is asked again who holds the copy, when whoever did gave no answer. */
const ASK_AGAIN_MS = 2000;

/**
 * The search of one tab.
 *
 * 1. `search` answers whatever happens to the copy: what this tab has attached is always found.
 * 2. What this tab has not seen indexed yet is looked through besides: what is on the screen can be found.
 * 3. When the copy is empty, or another tab's, what this tab has attached is brought to it again.
 */
export class SearchCopy {
  readonly #options: SearchOptions;
  readonly #tenure: Tenure;
  readonly #feed: Feed;
  readonly #attached = new Map<string, Attached>();
  readonly #listeners = new Set<(status: SearchStatus) => void>();
  readonly #settling = new Set<(isIndexed: boolean) => void>();
  #channel: Channel | null = null;
  /** Whether another tab is known to hold the copy. */
  #isElsewhere = false;
  #status = STARTING;

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#tenure = new Tenure(options.store, options.workerUrl ?? "", {
      opened: () => this.#opened(),
      ended: (error) => this.#ended(error),
    });
    const holder = () => this.#holder;
    const holds = () => this.#tenure.holder !== null;
    this.#feed = new Feed({
      get holder() {
        return holder();
      },
      get holds() {
        return holds();
      },
      messages: (session) => this.#attached.get(session)?.messages() ?? null,
      failed: (holder, error) => this.#failed(holder, error),
      idle: () => this.#settle(true),
    });
  }

  get status(): SearchStatus {
    return this.#status;
  }

  /** Call `listener` with each new status. Returns what ends that. */
  listen(listener: (status: SearchStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Take part: find who holds the copy, and hold it when this tab may. Until then `search` scans. */
  start(): void {
    if (this.#channel !== null || this.#status.code === "closed") return;
    if (this.#options.workerUrl === undefined) {
      this.#become(NO_WORKER);
      return;
    }
    const holds = () => this.#tenure.holder !== null;
    this.#channel = new Channel(this.#options.store, {
      get holds() {
        return holds();
      },
      answer: (ask) => this.#answer(ask),
      held: (isNew) => this.#held(isNew),
      left: () => this.#left(),
    });
    this.#channel.who();
    this.#tenure.start(this.#options.leadership ?? ownLeadership(this.#options.store));
  }

  /** Index a session, and go on with what changes. Returns what ends that; what is indexed stays. */
  attach(session: SearchSession): () => void {
    this.#attached.get(session.id)?.close();
    const attached = new Attached(session, (messages) => this.#feed.put(session.id, messages));
    this.#attached.set(session.id, attached);
    this.#feed.bring(session.id);
    return () => {
      attached.close();
      if (this.#attached.get(session.id) === attached) this.#attached.delete(session.id);
    };
  }

  /**
   * Index messages of a session that is not attached, gathered; with an empty text they are taken out.
   *
   * Unlike those of attached sessions they are not brought again after the copy was thrown away.
   */
  put(session: string, messages: Iterable<Searchable>): void {
    this.#feed.put(session, messages);
  }

  /** Take a session out, without a trace in the copy's file. Rejects with `Unanswered` when nobody holds a copy. */
  async remove(session: string): Promise<void> {
    await this.#drop(session);
    const holder = this.#holder;
    if (holder === null) throw new Unanswered("gone", "no tab holds the search copy: remove the session again later");
    await holder.ask({ kind: "remove", session });
  }

  /** Another tab takes a session out: bring nothing more of it, and take out what was on its way. Rejects as `remove`. */
  async removed(session: string): Promise<void> {
    if (await this.#drop(session)) await this.remove(session);
  }

  /** Let go of a session, and wait for what is on its way to the copy; return whether there was anything. */
  #drop(session: string): Promise<boolean> {
    this.#attached.get(session)?.close();
    this.#attached.delete(session);
    return this.#feed.drop(session);
  }

  /**
   * The messages that hold all words of `query`, in one session or in all; `limit` of them, 50 if not said.
   *
   * Words are compared without case and accents; those that are not parted by blanks stand behind each other; the last
   * may be the beginning of one. Best first from the copy, newest first from a scan; what is not indexed yet is first.
   */
  async search(
    query: string,
    { session, limit = 50 }: { session?: string; limit?: number } = {},
  ): Promise<SearchHit[]> {
    this.#look();
    const holder = this.#holder;
    if (holder !== null) {
      try {
        const found = holder.ask({ kind: "search", query, session: session ?? null, limit });
        return await this.#merged((await found) as SearchHit[], query, session, limit);
      } catch (error) {
        this.#failed(holder, error instanceof Unanswered ? error : new Unanswered("failed", String(error)));
      }
    } else this.#channel?.who();
    return await scan(this.#haystack(session), query, limit); // Invariant 1.
  }

  /** When all that was attached and put is indexed: true. False if there is no copy that this tab could bring it to. */
  settled(): Promise<boolean> {
    this.#look();
    if (this.#holder !== null && this.#feed.isIdle) return Promise.resolve(true);
    if (this.#status.mode === "scan" && this.#status.code !== "starting") return Promise.resolve(false);
    return new Promise((resolve) => this.#settling.add(resolve));
  }

  /**
   * A session as an SQLite file of its own, from the documents and not from the copy: it holds everything, and needs
   * neither the copy nor a private file system.
   *
   * Rejects with `Unanswered` (`no-wasm`, `failed`) where SQLite does not run.
   */
  async download(session: string): Promise<Blob> {
    const content = await this.#options.content?.(session);
    if (content === undefined) throw new Unanswered("failed", "give SearchCopy the option `content` to download");
    const { workerUrl } = this.#options;
    if (workerUrl === undefined) throw new Unanswered("no-wasm", "name the search's worker to download");
    const link = new WorkerLink(workerUrl);
    try {
      const bytes = (await link.ask({ kind: "export", content })) as Uint8Array<ArrayBuffer>;
      return new Blob([bytes], { type: "application/vnd.sqlite3" });
    } finally {
      link.stop();
    }
  }

  /** Let go of the copy, and of everything else. What is not indexed yet will be by the next that attaches it. */
  async close(): Promise<void> {
    for (const attached of this.#attached.values()) attached.close();
    this.#attached.clear();
    this.#feed.close();
    await this.#tenure.stop();
    this.#channel?.close();
    this.#channel = null;
    this.#isElsewhere = false;
    this.#become({ mode: "scan", holds: false, code: "closed", reason: "the search is closed" });
  }

  get #holder(): Holder | null {
    return this.#tenure.holder ?? (this.#isElsewhere ? this.#channel : null);
  }

  #opened(): void {
    this.#isElsewhere = false;
    this.#channel?.abandon();
    this.#channel?.announce(true);
    this.#index();
  }

  #ended(error: Unanswered | null): void {
    if (this.#status.code === "closed") return;
    this.#channel?.leave();
    if (this.#isElsewhere) return;
    if (error === null) this.#become(STARTING);
    else this.#become({ mode: "scan", holds: false, code: error.code, reason: error.message });
    // Somebody else may have it: this tab's worker found the files in use.
    this.#channel?.who();
  }

  /** Another tab says that it holds the copy. */
  #held(isNew: boolean): void {
    if (this.#tenure.holder !== null) return;
    if (this.#isElsewhere && !isNew) return;
    if (isNew) this.#channel?.abandon();
    this.#isElsewhere = true;
    this.#index();
  }

  #left(): void {
    if (!this.#isElsewhere) return;
    this.#isElsewhere = false;
    this.#become(STARTING);
  }

  /** There is a copy to go by. */
  #index(): void {
    this.#become({ mode: "index", holds: this.#tenure.holder !== null, code: "", reason: "" });
    for (const session of this.#attached.keys()) this.#feed.bring(session); // Invariant 3.
    this.#feed.kick();
  }

  /** Whoever holds the copy did not do what was asked. */
  #failed(holder: Holder, error: Unanswered): void {
    // It was another one's: what was asked of it is asked again.
    if (holder !== this.#holder || error.code === "moved") return;
    if (error.code === "rebuilt") {
      if (this.#tenure.holder !== null) this.#channel?.announce(true);
      this.#index();
    } else if (this.#tenure.holder !== null) {
      this.#tenure.giveUp(error);
    } else {
      this.#isElsewhere = false;
      this.#become({ mode: "scan", holds: false, code: error.code, reason: error.message });
      setTimeout(() => this.#channel?.who(), ASK_AGAIN_MS);
    }
  }

  async #answer(ask: Ask): Promise<Reply> {
    const holder = this.#tenure.holder;
    try {
      if (holder === null) throw new Unanswered("gone", "this tab does not hold the copy any more");
      return { ok: true, value: await holder.ask(ask) };
    } catch (error) {
      const { code, message } = error instanceof Unanswered ? error : new Unanswered("failed", String(error));
      if (holder !== null) this.#failed(holder, new Unanswered(code, message));
      return { ok: false, code, reason: message };
    }
  }

  /** What was found, with what is not indexed yet in place of what is indexed of it. */
  async #merged(indexed: SearchHit[], query: string, of: string | undefined, limit: number): Promise<SearchHit[]> {
    const pending = Array.from(this.#feed.pending()).filter(([session]) => of === undefined || session === of);
    const fresh = await scan(pending, query, limit); // Invariant 2.
    const newer = new Set(pending.flatMap(([session, messages]) => messages.map(({ id }) => `${session}\n${id}`)));
    const rest = indexed.filter(({ session, message }) => {
      return !newer.has(`${session}\n${message}`) && this.#attached.get(session)?.has(message) !== false;
    });
    return [...fresh, ...rest].slice(0, limit);
  }

  #look(): void {
    for (const attached of this.#attached.values()) attached.look();
  }

  *#haystack(of: string | undefined): Generator<Haystack extends Iterable<infer One> ? One : never> {
    for (const [session, attached] of this.#attached) {
      if (of === undefined || session === of) yield [session, attached.messages()];
    }
    for (const [session, messages] of this.#feed.pending()) {
      if (!this.#attached.has(session) && (of === undefined || session === of)) yield [session, messages];
    }
  }

  #settle(isIndexed: boolean): void {
    for (const resolve of this.#settling) resolve(isIndexed);
    this.#settling.clear();
  }

  #become(status: SearchStatus): void {
    this.#status = status;
    if (status.mode === "scan" && status.code !== "starting") this.#settle(false);
    for (const listener of this.#listeners) listener(status);
  }
}
