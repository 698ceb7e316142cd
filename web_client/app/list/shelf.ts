/**
 * The shelf: all sessions of this person, as the server lists them, and those that only this device has.
 *
 * 1. A session is open once in this tab: the one that is looked at is the one that is kept.
 * 2. The newest ones are kept open, so that they can be read and searched without a network. They are opened one after
 *    another, and behind the one that is looked at; nobody looks at them by that. Of too many, the one that was wanted
 *    longest ago is closed: never the one that is shown, nor one with edits that are not sent.
 * 3. What the list says comes from the list alone: no copy is loaded for it.
 * 4. The search has its code loaded, and its index begun, when nothing else is to be done; on a first visit when
 *    something is looked for.
 * 5. What the list is known to lack, as it was put away or is no more, a copy does not bring back: only what is shown
 *    and what is not sent does.
 */

import type { Client } from "../../src/client.js";
import type { IndexRow } from "../../src/core/messages.js";
import type { Session } from "../../src/session.js";
import type { SessionList } from "../../src/session_list.js";
import { leave } from "../session/caught_up.js";
import type { Everywhere, Found } from "../../src/search/everywhere.js";

/** How many are kept open. */
const KEPT = 24;
/** How many are open at most: the server allows 64 on the link that all tabs share, and what is beyond never syncs. */
const OPEN_MAX = 40;
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
  /** The one that was wanted longest ago first. */
  readonly #opened = new Map<string, Session>();
  /** Sessions that this device has a copy of, to their edits that are not sent. */
  readonly #copies = new Map<string, number>();
  /** When those that were shown here were shown first: where no server has listed one, when it was begun. */
  readonly #begun = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  /** Null until it is loaded, which takes no network. */
  list: SessionList | null = null;
  #listing: Promise<void> | null = null;
  #opening = Promise.resolve();
  #indexing = false;
  /** The one that is looked at; empty for none. */
  #shown = "";
  /** Somebody who was here before: on a first visit the index is not worth its 0.5 MB until something is looked for. */
  #isReturn = false;
  #closed = false;
  /** Moves with every change. */
  version = 0;

  /** Whether it was looked around once: what is shown of that has less to load before. */
  looked = false;

  constructor(private readonly client: Client) {}

  /** All of them, the newest first. */
  entries(): Entry[] {
    const rows = new Map(this.list?.rows.map((row) => [row.session, row]));
    // Of a list that is not all there, the rest may have what is only kept here.
    const kept = this.list?.live && !this.list.whole ? [] : this.#copies.keys();
    return [...new Set([...rows.keys(), ...kept, ...this.#begun.keys()])]
      .map((id): Entry => {
        const row = rows.get(id) ?? null;
        const unsynced = this.#opened.get(id)?.unsynced ?? this.#copies.get(id) ?? 0;
        return { id, row, unsynced, at: row?.at ?? this.#begun.get(id) ?? 0 };
      })
      .filter(({ id, row, unsynced }) => row || unsynced > 0 || id === this.#shown || !this.list?.lacks(id))
      .sort((a, b) => b.at - a.at || (a.id < b.id ? -1 : 1));
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Open a session that is to be shown, until `leave`. Rejects where its copy cannot be used. Invariant 1. */
  open(id: string): Promise<Session> {
    this.#shown = id;
    if (!this.#begun.has(id)) this.#begun.set(id, Date.now());
    return this.#have(id);
  }

  /** A session is shown no more. It stays open. */
  leave(id: string): void {
    if (this.#shown === id) this.#shown = "";
    this.#tell();
  }

  #have(id: string): Promise<Session> {
    let opened = this.#open.get(id);
    const there = this.#opened.get(id);
    if (there && this.#opened.delete(id)) this.#opened.set(id, there); // The last one now.
    if (opened === undefined) {
      opened = this.client.open(id).then((session) => {
        session.attend(false); // Invariant 2: whoever shows it says so.
        leave(session);
        this.#opened.set(id, session);
        session.subscribe(() => {
          this.#later(id);
          // The session that is looked at came first, and is there.
          if (!this.looked && session.status.link === "live") void this.refresh();
        });
        this.#later(id);
        this.#letGo();
        return session;
      });
      opened.catch(() => this.#open.delete(id));
      this.#open.set(id, opened);
    }
    return opened;
  }

  /** Invariant 2. */
  #letGo(): void {
    for (const [id, session] of this.#opened) {
      if (this.#opened.size <= OPEN_MAX) return;
      if (id === this.#shown || session.unsynced > 0) continue;
      this.#open.delete(id);
      this.#opened.delete(id);
      this.#copies.set(id, 0);
      session.close().catch(console.warn); // Its edits are on the server: nothing is lost by that.
    }
  }

  /** Look what there is, here and at the server. Without a server it is what is here, and what was listed last. */
  async refresh(): Promise<void> {
    this.looked = true;
    await this.#opening;
    try {
      this.#copies.clear();
      for (const { session, unsynced } of await this.client.copies()) this.#copies.set(session, unsynced);
      await (this.#listing ??= this.#begin());
    } catch (error) {
      this.#listing = null;
      // The store was erased a moment ago, or is not to be had; what is open says so where it is shown.
      console.warn("the sessions could not be listed:", error);
    }
    this.#tell();
    for (const { id } of this.entries().slice(0, KEPT)) this.#keep(id);
    void this.#opening.then(() => quiet(() => this.#index()));
  }

  async #begin(): Promise<void> {
    const list = await this.client.index({ count: PAGE });
    if (this.#closed) return list.close();
    this.list = list;
    this.#isReturn = list.rows.length > 0 && !list.live;
    let live = false;
    list.subscribe(() => {
      this.#tell();
      // Those that the server has come when it answers: they are kept, too.
      if (list.live && !live) for (const { id } of this.entries().slice(0, KEPT)) this.#keep(id);
      live = list.live;
    });
  }

  /** The search of this device. Rejects where its code does not load; asked again, it is tried again. */
  searching(): Promise<Everywhere> {
    return this.client.searching();
  }

  /** Messages that hold all words of `query`, of all copies on this device, and how they were looked for. */
  async search(query: string, limit: number): Promise<Found> {
    return (await this.searching()).search(query, limit);
  }

  /** Erase the copy of a session on this device. */
  async forget(id: string): Promise<void> {
    const opened = this.#open.get(id);
    this.#open.delete(id);
    for (const kept of [this.#opened, this.#copies, this.#begun]) kept.delete(id);
    await (await opened?.catch(() => null))?.close();
    await this.client.forget(id);
    this.#tell();
  }

  close(): void {
    this.#closed = true;
    this.list?.close();
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** Begin the index, and bring to it what is not kept open. Invariant 4. */
  #index(): void {
    if (this.#closed || this.#indexing || !this.#isReturn) return;
    this.#indexing = true;
    this.searching()
      .then((search) => search.gather())
      .catch((error: unknown) => {
        this.#indexing = false;
        console.warn("what is on this device was not indexed for the search:", error);
      });
  }

  #keep(id: string): void {
    this.#opening = this.#opening
      .then(async () => {
        if (this.#closed) return;
        await this.#have(id);
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
