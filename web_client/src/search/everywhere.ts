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
  sessions(): Promise<readonly { readonly session: string }[]>;
}

export interface Found {
  readonly hits: readonly SearchHit[];
  /** How it was looked for. */
  readonly status: SearchStatus;
}

export class Everywhere {
  readonly #copy: SearchCopy;
  readonly #attached = new Map<string, () => void>();
  readonly #place: string;
  readonly #erased: Set<string>;
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

  /** Keep what a session says in the index, from now on. */
  attach(session: SearchSession): void {
    if (this.#closed) return;
    this.#note(session.id, false);
    this.#attached.set(session.id, this.#copy.attach(session));
  }

  /** Follow a session no longer: it is closed. What is indexed of it is found. */
  detach(id: string): void {
    this.#attached.get(id)?.();
    this.#attached.delete(id);
  }

  /** Index sessions that nobody keeps open, one after another, if this tab holds the index. */
  async gather(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      await this.#copy.settled();
      if (!this.#copy.status.holds) return;
      await this.#read(id, async (session) => {
        if (this.#attached.has(id)) return;
        const detach = this.#copy.attach(session);
        await this.#copy.settled();
        detach(); // When it is kept open by now, that goes on.
      });
    }
  }

  /** Messages that hold all words of `query`, `limit` of them, in all copies on this device. */
  async search(query: string, limit: number): Promise<Found> {
    const hits = await this.#copy.search(query, { limit });
    const { status } = this.#copy;
    if (status.mode === "index") return { hits, status };
    for (const { session: id } of await this.client.sessions()) {
      if (this.#attached.has(id)) continue;
      if (hits.length >= limit) break;
      // Invariant 1.
      await this.#read(id, async (session) => {
        hits.push(...(await scan([[id, session.messages()]], query, limit - hits.length)));
      });
    }
    return { hits, status };
  }

  /** A session as an SQLite file. Rejects with `Unanswered` where SQLite does not run. */
  download(id: string): Promise<Blob> {
    return this.#copy.download(id);
  }

  /** Take a session out of the index. Invariant 2. */
  async erase(id: string): Promise<void> {
    this.#attached.delete(id);
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
    await this.#copy.close();
  }

  /** Do something with a copy. One that does not open is left out: its own screen says why. */
  async #read(id: string, act: (session: SearchSession) => Promise<void>): Promise<void> {
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
