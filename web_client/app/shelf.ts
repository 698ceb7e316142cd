/**
 * The shelf: all sessions of this person, as the server lists them, and those that only this device has.
 *
 * 1. A session is open once in this tab: the one that is looked at is the one that is kept.
 * 2. The newest ones are kept open, so that they can be read and searched without a network. They are opened one after
 *    another, and behind the one that is looked at; nobody looks at them by that.
 * 3. What the list says comes from the list alone: no copy is loaded for it.
 * 4. The search has its code loaded, and its index begun, when nothing else is to be done.
 */

import type { Client } from "../src/client.js";
import type { IndexRow } from "../src/core/messages.js";
import type { Session } from "../src/session.js";
import type { SessionList } from "../src/session_list.js";
import { leave } from "./caught_up.js";
import type { Finder, Found } from "./finder.js";

/** How many are kept open. The server's own bound for a link is 64. */
const KEPT = 24;
/** How often what is not sent of a session is looked at at most, milliseconds. */
const PACE_MS = 400;
/** How many sessions are listed at first, and how many more with each asking. */
const PAGE = 100;
/** How long the search waits for a quiet moment at most, milliseconds. */
const QUIET_MAX_MS = 5000;

export interface Entry {
  readonly id: string;
  /** Null for one that no server has listed. */
  readonly row: IndexRow | null;
  /** Own edits that are not on the server's disk. */
  readonly unsynced: number;
  /** When something last happened in it, Unix ms. */
  readonly at: number;
}

export class Shelf {
  readonly #open = new Map<string, Promise<Session>>();
  readonly #opened = new Map<string, Session>();
  /** Sessions that this device has a copy of, to their edits that are not sent. */
  readonly #copies = new Map<string, number>();
  /** When those that no server has listed were begun here. */
  readonly #begun = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #place: string;
  #list: SessionList | null = null;
  #listing: Promise<void> | null = null;
  #opening = Promise.resolve();
  #finder: Promise<Finder> | null = null;
  #indexing = false;
  #closed = false;
  /** Moves with every change. */
  version = 0;

  constructor(
    private readonly client: Client,
    subject: string,
  ) {
    this.#place = `syncd:sessions:${subject}`;
    void this.#listed();
  }

  /** All of them, the newest first. */
  entries(): Entry[] {
    const rows = this.#list?.rows ?? [];
    const entries = rows.map((row): Entry => ({
      id: row.session,
      row,
      unsynced: this.#unsynced(row.session),
      at: row.at,
    }));
    const listed = new Set(rows.map(({ session }) => session));
    for (const id of new Set([...this.#copies.keys(), ...this.#open.keys()])) {
      if (listed.has(id)) continue;
      // Of a list that is not all there, the rest may have it.
      if (this.#list?.live === true && !this.#list.whole && !this.#begun.has(id)) continue;
      entries.push({ id, row: null, unsynced: this.#unsynced(id), at: this.#begun.get(id) ?? 0 });
    }
    return entries.sort((a, b) => b.at - a.at || (a.id < b.id ? -1 : 1));
  }

  entry(id: string): Entry | null {
    return this.entries().find((entry) => entry.id === id) ?? null;
  }

  /** Whether there are older ones. */
  get more(): boolean {
    return this.#list !== null && !this.#list.whole;
  }

  /** Have older ones. */
  async older(): Promise<void> {
    await this.#list?.older(PAGE);
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Open a session, which stays open. Rejects where its copy cannot be used. Invariant 1. */
  open(id: string): Promise<Session> {
    let opened = this.#open.get(id);
    if (opened === undefined) {
      this.#begun.set(id, Date.now());
      opened = this.client.open(id).then((session) => {
        session.attend(false); // Invariant 2: whoever shows it says so.
        leave(session);
        this.#opened.set(id, session);
        session.subscribe(() => this.#later(id));
        this.#later(id);
        void this.#finder?.then((finder) => finder.attach(session)).catch(() => {}); // Whoever searches is told.
        return session;
      });
      opened.catch(() => this.#open.delete(id));
      this.#open.set(id, opened);
    }
    return opened;
  }

  /** Look what there is, here and at the server. Without a server it is what is here, and what was listed last. */
  async refresh(): Promise<void> {
    await this.#opening;
    try {
      this.#copies.clear();
      for (const { session, unsynced } of await this.client.sessions()) this.#copies.set(session, unsynced);
    } catch (error) {
      // The store was erased a moment ago, or is not to be had; what is open says so where it is shown.
      console.warn("the copies on this device could not be listed:", error);
    }
    await this.#listed();
    this.#tell();
    for (const { id } of this.entries().slice(0, KEPT)) this.#keep(id);
    void this.#opening.then(() => quiet(() => this.#index()));
  }

  /** Have the list, which shows what this device heard last before there is a link. */
  #listed(): Promise<void> {
    return (this.#listing ??= this.#begin().catch((error: unknown) => {
      this.#listing = null; // Asked again with the next look around.
      console.warn("the list of sessions did not load:", error);
    }));
  }

  async #begin(): Promise<void> {
    const list = await this.client.index({ count: PAGE });
    if (this.#closed) return list.close();
    this.#list = list;
    let live = false;
    list.subscribe(() => {
      this.#tell();
      // Those that the server has come when it answers: they are kept, too.
      if (list.live && !live) for (const { id } of this.entries().slice(0, KEPT)) this.#keep(id);
      live = list.live;
    });
  }

  #unsynced(id: string): number {
    return this.#opened.get(id)?.unsynced ?? this.#copies.get(id) ?? 0;
  }

  /** The search of this device. Rejects where its code does not load; asked again, it is tried again. */
  finder(): Promise<Finder> {
    if (this.#finder !== null) return this.#finder;
    const loading = import("./finder.js").then(async (module) => {
      const finder = new module.Finder(this.client, `${this.#place}:erased`);
      if (this.#closed) await finder.close();
      else
        for (const opened of this.#open.values())
          void opened.then(
            (session) => finder.attach(session),
            () => {},
          );
      return finder;
    });
    loading.catch(() => (this.#finder = null));
    return (this.#finder = loading);
  }

  /** Messages that hold all words of `query`, of all copies on this device, and how they were looked for. */
  async search(query: string, limit: number): Promise<Found> {
    const finder = await this.finder();
    return await finder.search(query, limit, this.#held());
  }

  /** Erase the copy of a session on this device. */
  async forget(id: string): Promise<void> {
    const opened = this.#open.get(id);
    this.#open.delete(id);
    for (const kept of [this.#opened, this.#copies, this.#begun]) kept.delete(id);
    await (await opened?.catch(() => null))?.close();
    await this.client.forget(id);
    try {
      await (await this.finder()).erase(id);
    } catch (error) {
      console.warn(`the search may still find words of session ${id}:`, error);
    }
    this.#tell();
  }

  close(): void {
    this.#closed = true;
    this.#list?.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    void this.#finder?.then((finder) => finder.close()).catch(() => {}); // It never loaded.
  }

  /** Begin the index, and bring to it what is not kept open. Invariant 4. */
  #index(): void {
    if (this.#closed || this.#indexing) return;
    this.#indexing = true;
    const rest = this.#held().filter((id) => !this.#open.has(id));
    this.finder()
      .then((finder) => finder.gather(rest))
      .catch((error: unknown) => {
        this.#indexing = false;
        console.warn("what is on this device was not indexed for the search:", error);
      });
  }

  /** The sessions that this device has a copy of. */
  #held(): string[] {
    return [...new Set([...this.#copies.keys(), ...this.#opened.keys()])];
  }

  #keep(id: string): void {
    this.#opening = this.#opening
      .then(async () => {
        if (this.#closed) return;
        await this.open(id);
        // Whatever the person does comes first. Invariant 2.
        await new Promise((resolve) => setTimeout(resolve, 20));
      })
      .catch((error: unknown) => {
        console.warn(`session ${id} could not be opened for the list:`, error);
      });
  }

  #later(id: string): void {
    if (this.#timers.has(id)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(id);
      if (!this.#closed) this.#tell();
    }, PACE_MS);
    this.#timers.set(id, timer);
  }

  #tell(): void {
    this.version++;
    for (const listener of this.#listeners) listener();
  }
}

/** Call `then` when the page has nothing else to do. */
function quiet(then: () => void): void {
  // Not every browser can tell.
  if (typeof requestIdleCallback === "function") requestIdleCallback(then, { timeout: QUIET_MAX_MS });
  else setTimeout(then, QUIET_MAX_MS);
}
