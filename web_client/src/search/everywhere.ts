/**
 * Everywhere: a search over all sessions of a client, those that are open in this tab and those that are not.
 *
 * What `Client.search` loads when it is first called. Knows nothing of how hits look.
 *
 * 1. What is found is the same with and without an index: without one, all copies are gone through.
 * 2. A session that was erased leaves the index. Where nobody holds one just then, it does when somebody does, be it
 *    after the next start.
 */

import type * as Y from "yjs";
import type { Layer } from "../core/messages.js";
import type { SearchSession } from "./attached.js";
import { contentsOf } from "./content.js";
import { SearchCopy } from "./index.js";
import type { SearchStatus } from "./index.js";
import type { SearchHit } from "./requests.js";
import { scan } from "./scan.js";
import { leadershipOf } from "./tenure.js";

/** What a `Client` has, as far as its sessions are searched. */
export interface SearchClient {
  readonly storeName: string;
  readonly leads: boolean;
  subscribe(listener: () => void): () => void;
  replica(session: string): Promise<{ document(layer: Layer): Y.Doc; close(): Promise<void> }>;
  open(session: string): Promise<SearchSession & { close(): Promise<void> }>;
  /** All copies on this device, and the last row of each: another where something was written. */
  known(): Promise<readonly { readonly session: string; readonly last: number }[]>;
  /** Those that are open in this tab. */
  readonly inUse: Iterable<{ readonly id: string }>;
  /** Called when one is opened or closed. */
  inUseMoved: () => void;
  /** Called when a copy is erased, by this tab or another. */
  erased: (session: string) => void;
}

export interface Found {
  readonly hits: readonly SearchHit[];
  /** How it was looked for. */
  readonly status: SearchStatus;
}

export class Everywhere {
  readonly #copy: SearchCopy;
  readonly #attached = new Map<string, { session: SearchSession; end: () => void }>();
  /** What is indexed of sessions that are not open here: up to which row. */
  readonly #gathered = new Map<string, number>();
  #gathering: Promise<void> = Promise.resolve();
  readonly #place: string;
  readonly #erased: Set<string>;
  /** Sessions that were erased a moment ago: whoever listed the copies before does not open one anew. */
  readonly #gone = new Set<string>();
  #closed = false;

  /** Without a `workerUrl` there is no index. */
  constructor(
    private readonly client: SearchClient,
    workerUrl?: string | URL,
  ) {
    this.#place = `syncd:erased:${client.storeName}`;
    this.#erased = new Set(JSON.parse(localStorage.getItem(this.#place) ?? "[]") as string[]);
    this.#copy = new SearchCopy({
      store: client.storeName,
      ...(workerUrl === undefined ? {} : { workerUrl }),
      leadership: leadershipOf(client),
      content: contentsOf(client),
    });
    this.#copy.listen(({ mode }) => {
      if (mode === "index") for (const id of this.#erased) void this.erase(id);
    });
    this.#copy.start();
    client.inUseMoved = () => this.#follow();
    client.erased = (id) => this.#forget(id);
    this.#follow();
  }

  /** How it is looked for: see `SearchCopy.status`. */
  get status(): SearchStatus {
    return this.#copy.status;
  }

  /** Call `changed` when it is looked for in another way than before. Returns what ends that. */
  listen(changed: () => void): () => void {
    let { code } = this.#copy.status;
    return this.#copy.listen((status) => {
      const isOther = status.code !== code;
      code = status.code;
      if (isOther) changed();
    });
  }

  /** Index the sessions that are not open here, one after another, where there is an index. */
  gather(): Promise<void> {
    this.#gathering = this.#gathering.then(async () => {
      for (const { session, last } of await this.#missing()) {
        await this.#copy.settled();
        if (this.#closed || this.#copy.status.mode !== "index") return;
        await this.#read(session, async () => {
          if (await this.#copy.settled()) this.#gathered.set(session, last);
        });
      }
    });
    return this.#gathering;
  }

  /** Messages that hold all words of `query`, `limit` of them, in all copies on this device. */
  async search(query: string, limit: number): Promise<Found> {
    const hits = await this.#copy.search(query, { limit });
    const { status } = this.#copy;
    const missing = await this.#missing();
    const found = new Set(hits.map(({ session, message }) => `${session} ${message}`));
    for (const { session: id } of missing) {
      if (hits.length >= limit) break;
      // Invariant 1.
      await this.#read(id, async (session) => {
        const more = await scan([[id, session.messages()]], query, limit);
        hits.push(...more.filter(({ message }) => !found.has(`${id} ${message}`)).slice(0, limit - hits.length));
      });
    }
    if (status.mode === "index" && missing.length > 0) void this.gather();
    return { hits, status };
  }

  /** A session as an SQLite file. Rejects with `Unanswered` where SQLite does not run. */
  download(id: string): Promise<Blob> {
    return this.#copy.download(id);
  }

  /** Take a session out of the index. Invariant 2. */
  async erase(id: string): Promise<void> {
    this.#note(id, true);
    try {
      await this.#copy.remove(id);
      this.#note(id, false);
    } catch (error) {
      console.warn(`session ${id} is taken out of the search later:`, error);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.client.inUseMoved = this.client.erased = () => {};
    await this.#copy.close();
  }

  /** Have the index follow what is open in this tab. */
  #follow(): void {
    const open = new Map(Array.from(this.client.inUse, (session) => [session.id, session as SearchSession]));
    for (const id of this.#attached.keys()) if (!open.has(id)) this.#detach(id);
    for (const [id, session] of open) {
      if (this.#attached.get(id)?.session === session) continue;
      this.#note(id, false);
      this.#gone.delete(id);
      this.#attached.set(id, { session, end: this.#copy.attach(session) });
      this.#gathered.delete(id);
    }
  }

  /** A copy is erased: whichever tab does that takes it out of the index as well. */
  #forget(id: string): void {
    this.#gone.add(id);
    this.#detach(id);
    this.#gathered.delete(id);
    this.#copy.removed(id).catch((error: unknown) => console.warn(`session ${id} may still be found:`, error));
  }

  #detach(id: string): void {
    this.#attached.get(id)?.end();
    this.#attached.delete(id);
  }

  /** The copies that are not open here and may not be in the index as they are. */
  async #missing(): Promise<{ session: string; last: number }[]> {
    const isIndexed = this.#copy.status.mode === "index";
    const gone = [...this.#gone];
    const known = await this.client.known();
    // What is a copy again by now was opened again.
    for (const id of gone) if (known.some(({ session }) => session === id)) this.#gone.delete(id);
    const all = known.filter(({ session }) => !this.#attached.has(session));
    return all.filter(({ session, last }) => !isIndexed || this.#gathered.get(session) !== last);
  }

  /** Do something with a copy. One that does not open is left out: its own screen says why. */
  async #read(id: string, act: (session: SearchSession) => Promise<void>): Promise<void> {
    if (this.#gone.has(id)) return;
    try {
      const session = await this.client.open(id);
      try {
        await act(session);
      } finally {
        await session.close();
      }
    } catch (error) {
      console.warn(`session ${id} could not be searched:`, error);
    }
  }

  #note(id: string, isErased: boolean): void {
    if (this.#erased.has(id) === isErased) return;
    if (isErased) this.#erased.add(id);
    else this.#erased.delete(id);
    localStorage.setItem(this.#place, JSON.stringify([...this.#erased]));
  }
}
