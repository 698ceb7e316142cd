/**
 * The shelf: all sessions of this person, those on this device and those that only the server has.
 *
 * 1. A session is open once in this tab: the one that is looked at is the one that the list tells of.
 * 2. The newest ones are kept open, so that the list says what is new in them, and that they can be read and searched
 *    without a network. They are opened one after another, and behind the one that is looked at.
 * 3. What the list said last is kept, so that it is there at once at the next start.
 * 4. The search has its code loaded, and its index begun, when nothing else is to be done; on a first visit when something
 *    is looked for.
 */

import type { Client } from "../src/client.js";
import type { Session } from "../src/session.js";
import type { Summary } from "../src/summary.js";
import { leave } from "./caught_up.js";
import { request, type SessionRow } from "./api.js";
import type { Everywhere, Found } from "../src/search/everywhere.js";

/** How many are kept open. The server's own bound for a link is 64. */
const KEPT = 24;
/** How often a session's line is made anew at most, milliseconds. */
const PACE_MS = 400;
/** How many lines are kept for the next start. */
const REMEMBERED = 200;
/** How long the search waits for a quiet moment at most, milliseconds. */
const QUIET_MAX_MS = 5000;

export interface Entry {
  readonly id: string;
  /** Null while nothing of it is known here but that it is there. */
  readonly summary: Summary | null;
  /** When something was said last, as far as that is known, Unix ms. */
  readonly at: number;
}

export class Shelf {
  readonly #entries = new Map<string, Entry>();
  readonly #open = new Map<string, Promise<Session>>();
  readonly #listeners = new Set<() => void>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #place: string;
  #opening = Promise.resolve();
  #indexing = false;
  /** Somebody who was here before: on a first visit the index is not worth its 0.5 MB until something is looked for. */
  readonly #isReturn: boolean;
  #closed = false;
  /** Moves with every change. */
  version = 0;

  constructor(
    private readonly client: Client,
    subject: string,
    private readonly token: () => Promise<string>,
  ) {
    this.#place = `syncd:sessions:${subject}`;
    for (const entry of remembered(this.#place)) this.#entries.set(entry.id, entry);
    this.#isReturn = this.#entries.size > 0;
  }

  /** All of them, the newest first. */
  entries(): Entry[] {
    return [...this.#entries.values()].sort((a, b) => b.at - a.at || (a.id < b.id ? -1 : 1));
  }

  entry(id: string): Entry | null {
    return this.#entries.get(id) ?? null;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Open a session, which stays open. Rejects where its copy cannot be used. Invariant 1. */
  open(id: string): Promise<Session> {
    let opened = this.#open.get(id);
    if (opened === undefined) {
      opened = this.client.open(id).then((session) => {
        leave(session);
        session.subscribe(() => this.#later(id));
        this.#later(id);
        return session;
      });
      opened.catch(() => this.#open.delete(id));
      this.#open.set(id, opened);
    }
    return opened;
  }

  /** Look what there is, here and at the server. Without a server it is what is here. */
  async refresh(): Promise<void> {
    await this.#opening;
    try {
      for (const summary of await this.client.sessions()) this.#note(summary.session, { summary });
    } catch (error) {
      // The store was erased a moment ago, or is not to be had; what is open says so where it is shown.
      console.warn("the copies on this device could not be listed:", error);
    }
    this.#tell();
    try {
      let after = "";
      do {
        const page: { sessions: SessionRow[]; next: string } = await request(`/v1/sessions?limit=100&after=${after}`, {
          token: await this.token(),
        });
        for (const row of page.sessions) this.#note(row.session, { at: row.updated_at });
        after = page.next;
      } while (after && this.#entries.size < 1000);
    } catch {
      // Without a network the list is what is on this device; the pill says so.
    }
    this.#tell();
    for (const { id } of this.entries().slice(0, KEPT)) this.#keep(id);
    void this.#opening.then(() => quiet(() => this.#index()));
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
    this.#entries.delete(id);
    await (await opened?.catch(() => null))?.close();
    await this.client.forget(id);
    this.#tell();
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  /** Begin the index, and bring to it what is not kept open. Invariant 4. */
  #index(): void {
    const copies = this.entries().filter(({ summary }) => summary !== null);
    if (this.#closed || this.#indexing || !this.#isReturn || copies.length === 0) return;
    this.#indexing = true;
    const rest = copies.filter(({ id }) => !this.#open.has(id));
    this.searching()
      .then((search) => search.gather(rest.map(({ id }) => id)))
      .catch((error: unknown) => {
        this.#indexing = false;
        console.warn("what is on this device was not indexed for the search:", error);
      });
  }

  #note(id: string, { summary, at = 0 }: { summary?: Summary; at?: number }): void {
    const before = this.#entries.get(id);
    const newest = summary ?? before?.summary ?? null;
    // What a session says of itself is better than when its row was written last.
    this.#entries.set(id, { id, summary: newest, at: newest?.lastAt || at || before?.at || Date.now() });
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
      void this.#open.get(id)?.then((session) => {
        if (this.#closed) return;
        this.#note(id, { summary: session.summary() });
        this.#tell();
      });
    }, PACE_MS);
    this.#timers.set(id, timer);
  }

  #tell(): void {
    localStorage.setItem(this.#place, JSON.stringify(this.entries().slice(0, REMEMBERED))); // Invariant 3.
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

function remembered(place: string): Entry[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(place) ?? "[]");
    return Array.isArray(kept) ? (kept as Entry[]) : [];
  } catch {
    return [];
  }
}
