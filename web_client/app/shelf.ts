/**
 * The shelf: all sessions of this person, those on this device and those that only the server has.
 *
 * 1. The newest ones are kept open, so that the list says what is new in them, and that they can be read and searched
 *    without a network.
 * 2. They are opened one after another, behind the one that is looked at.
 */

import type { Client } from "../src/client.js";
import type { Session } from "../src/session.js";
import type { Summary } from "../src/summary.js";
import type { MessageView } from "../src/transcript.js";
import { request, type SessionRow } from "./api.js";

/** How many are kept open. The server's own bound for a link is 64. */
const KEPT = 24;
/** How often a session's line is made anew at most, milliseconds. */
const PACE_MS = 400;

export interface Entry {
  readonly id: string;
  /** Null while nothing of it is on this device. */
  readonly summary: Summary | null;
  /** When something was said last, as far as that is known, Unix ms. */
  readonly at: number;
}

export interface Hit {
  readonly session: string;
  readonly message: MessageView;
}

interface Kept {
  readonly session: Session;
  readonly end: () => void;
}

export class Shelf {
  readonly #entries = new Map<string, Entry>();
  readonly #kept = new Map<string, Kept>();
  readonly #listeners = new Set<() => void>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #opening = Promise.resolve();
  #closed = false;

  constructor(
    private readonly client: Client,
    private readonly token: () => Promise<string>,
  ) {}

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

  /** Look what there is, here and at the server. Without a server it is what is here. */
  async refresh(): Promise<void> {
    for (const summary of await this.client.sessions()) this.#note(summary.session, { summary });
    this.#tell();
    this.#keepNewest();
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
    this.#keepNewest();
  }

  /** Messages that hold all words of `query`, of all copies on this device; the newest first within each session. */
  async search(query: string, limit: number): Promise<Hit[]> {
    const found: Hit[] = [];
    for (const { id, summary } of this.entries()) {
      if (found.length >= limit) break;
      if (summary === null) continue;
      const kept = this.#kept.get(id)?.session;
      const session = kept ?? (await this.client.open(id));
      for (const message of await session.search(query, { limit: limit - found.length }))
        found.push({ session: id, message });
      if (!kept) await session.close();
    }
    return found;
  }

  /** A session is looked at, or was made: it belongs to the list. */
  add(id: string): void {
    if (!this.#entries.has(id)) this.#note(id, { at: Date.now() });
    this.#keep(id);
    this.#tell();
  }

  drop(id: string): void {
    this.#kept.get(id)?.end();
    this.#kept.delete(id);
    this.#entries.delete(id);
    this.#tell();
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const { end } of this.#kept.values()) end();
    this.#kept.clear();
  }

  #note(id: string, { summary, at = 0 }: { summary?: Summary; at?: number }): void {
    const before = this.#entries.get(id);
    const newest = summary ?? before?.summary ?? null;
    // What a session says of itself is better than when its row was written last.
    this.#entries.set(id, {
      id,
      summary: newest,
      at: newest?.lastAt || at || (before?.at ?? 0),
    });
  }

  #keepNewest(): void {
    for (const { id } of this.entries().slice(0, KEPT)) this.#keep(id);
  }

  #keep(id: string): void {
    this.#opening = this.#opening.then(async () => {
      if (this.#closed || this.#kept.has(id)) return;
      const session = await this.client.open(id);
      const end = session.subscribe(() => this.#later(id));
      this.#kept.set(id, {
        session,
        end: () => {
          end();
          void session.close();
        },
      });
      this.#summarize(id);
    }); // Invariant 2.
    this.#opening = this.#opening.catch((error: unknown) => {
      console.warn(`session ${id} could not be opened for the list:`, error);
    });
  }

  #later(id: string): void {
    if (this.#timers.has(id)) return;
    this.#timers.set(
      id,
      setTimeout(() => {
        this.#timers.delete(id);
        this.#summarize(id);
      }, PACE_MS),
    );
  }

  #summarize(id: string): void {
    const kept = this.#kept.get(id);
    if (!kept || this.#closed) return;
    this.#note(id, { summary: kept.session.summary() });
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
