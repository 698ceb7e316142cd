/**
 * Session list: one's sessions, the one where something happened last first; live, and as it was without a network.
 *
 * Knows nothing of what is in the sessions, of sockets or of tabs.
 */

import { LocalProtocolError } from "./core/errors.js";
import type { Token } from "./core/link.js";
import type { Index, IndexChanged, IndexRow, Listed, Watch } from "./core/messages.js";
import { ListStore } from "./list_store.js";

export interface ListHost {
  readonly storeName: string;
  readonly status: { readonly link: string };
  readonly leads: boolean;
  ask(watch: Watch): void;
  subscribe(listener: () => void): () => void;
  /** A list was closed. */
  unlist(list: SessionList): void;
}

export interface ListOptions {
  /** Those that were put away, instead of the others. */
  readonly archived?: boolean;
  /** How many to have at first. */
  readonly count?: number;
}

/** What a server answers at most in one page. */
const PAGE = 500;
/** How long a server that could not read its list just now is left alone, milliseconds. */
const AGAIN_MS = 5_000;

/**
 * One's list of sessions. Get it with `Client.index`, and `close` it.
 *
 * 1. `rows` is the same array until something in it is another.
 * 2. A page says all there is between its ends: what was held there and is not in it is not in the list any more.
 * 3. Nothing that is heard is taken before what this device held is read: that would bring back what is gone.
 * 4. Of the other kind of list, put away or not, each takes the rows as well: one that moved is not gone.
 */
export class SessionList {
  readonly archived: boolean;
  readonly #host: ListHost;
  readonly #store: ListStore;
  readonly #listeners = new Set<() => void>();
  readonly #stop: () => void;
  readonly #held = new Map<string, IndexRow>();
  #rows: readonly IndexRow[] | null = null;
  #count: number;
  #live = false;
  #whole = false;
  /** What is asked for next, and the time where the page before ended; null where nothing is left to ask for. */
  #next: { readonly after: string; readonly below: number } | null = null;
  #low = 0;
  /** Sessions that were in it and that the server does not list any more, in neither kind of list. */
  readonly #gone = new Set<string>();
  #again: ReturnType<typeof setTimeout> | null = null;
  #loaded = false;
  #closed = false;
  #waiting: (() => void)[] = [];
  /** Moves with every change. */
  version = 0;

  constructor(host: ListHost, { archived = false, count = 100 }: ListOptions = {}) {
    this.#host = host;
    this.archived = archived;
    this.#count = count;
    this.#store = new ListStore(host.storeName);
    this.#stop = host.subscribe(() => this.#stands());
  }

  /** Read what this device heard last. Called by `Client.index`. */
  async load(): Promise<void> {
    for (const row of await this.#store.rows()) this.#held.set(row.session, row);
    if (this.#closed) return;
    this.#loaded = true;
    this.#tell();
    this.#stands();
  }

  /** The rows, newest first. */
  get rows(): readonly IndexRow[] {
    this.#rows ??= this.#shown();
    return this.#rows;
  }

  /** Whether the rows are as the server has them; else they are as this device heard last. */
  get live(): boolean {
    return this.#live;
  }

  /** Whether there is nothing older. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Whether a session is known not to belong in it: it is in the other kind of list, or in none any more. */
  lacks(session: string): boolean {
    return this.#gone.has(session) || (this.#held.get(session)?.archived ?? this.archived) !== this.archived;
  }

  /** How many messages of the rows are not read, for a badge. */
  get unread(): number {
    return this.rows.reduce((sum, { unread }) => sum + unread, 0);
  }

  /** Call `listener` when the rows are others. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Have `count` more rows: from the server, or without it those that this device heard of. */
  async older(count = 100): Promise<void> {
    // More than there are: of those that came since nobody asked for one. Those that somebody waits for are to come.
    if (this.#live && this.#waiting.length === 0) this.#count = this.rows.length;
    this.#count += count;
    if (this.#live && !this.#whole && this.#next !== null) {
      const more = new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#ask();
      await more;
    } else this.#tell();
  }

  /** Let go of it. */
  close(): void {
    this.#closed = true;
    this.#stop();
    this.#rest();
    this.#done();
    this.#host.unlist(this);
    void this.#store.close();
  }

  /** Take what the server says, to whichever list and tab. */
  told(asked: Watch | null, told: Listed): void {
    if (this.#closed || !this.#loaded) return; // Invariant 3.
    if (told.kind === "IndexChanged") this.#changed(told);
    // Who asked for no more had no list open: for this one the server is to go on, which has one answer for all tabs.
    else if (told.kind === "Refreshed" || asked?.limit === 0) this.#renew();
    else if (asked?.archived === this.archived) this.#page(asked, told);
    else this.#changed({ rows: told.rows, gone: [] }); // Invariant 4.
  }

  #shown(): IndexRow[] {
    const mine = [...this.#held.values()].filter(({ archived }) => archived === this.archived);
    mine.sort((a, b) => b.at - a.at || (a.session < b.session ? -1 : 1));
    if (this.#live) return this.#whole ? mine : mine.filter(({ at }) => at >= this.#low);
    // Who is there is known only while there is a link.
    return mine.slice(0, this.#count).map((row) => ({ ...row, here: {} }));
  }

  #stands(): void {
    if (!this.#loaded) return; // Invariant 3.
    const live = this.#host.status.link === "live";
    if (live && this.#next === null && !this.#live) {
      this.#begin();
    } else if (!live && (this.#live || this.#next !== null)) {
      this.#keepCount();
      this.#live = false;
      this.#next = null;
      this.#rest();
      this.#done();
      this.#tell();
    }
  }

  /** Begin again, if it was begun. */
  #renew(): void {
    if (!this.#live && this.#next === null) return;
    this.#keepCount();
    this.#begin();
  }

  /** Have as many as there are, also where more came than were asked for. */
  #keepCount(): void {
    if (this.#live) this.#count = Math.max(this.#count, this.rows.length);
  }

  #begin(): void {
    this.#rest();
    this.#next = { after: "", below: Infinity };
    this.#ask();
  }

  #ask(): void {
    const left = this.#count - (this.#next!.after === "" ? 0 : this.#shown().length);
    const limit = Math.min(PAGE, Math.max(1, left));
    this.#host.ask({ kind: "Watch", after: this.#next!.after, limit, archived: this.archived });
  }

  #page(asked: Watch, { rows, next, whole }: Index): void {
    // A page that another list asked for says as much, but for where to go on.
    const expected = this.#next !== null && asked.after === this.#next.after;
    if (!expected && asked.after !== "") return;
    if (rows.length === 0 && !whole) {
      // It could not be read. That says nothing of what is in it.
      if (expected) this.#again ??= setTimeout(() => this.#retry(), AGAIN_MS);
      return;
    }
    const high = expected ? this.#next!.below : Infinity;
    const low = whole ? -1 : (rows.at(-1)?.at ?? high);
    const named = new Set(rows.map(({ session }) => session));
    const gone = [...this.#held.values()].filter(
      ({ session, archived, at }) => archived === this.archived && at > low && at < high && !named.has(session),
    );
    this.#take(
      rows,
      gone.map(({ session }) => session),
    );
    if (expected) {
      this.#rest();
      this.#live = true;
      this.#whole = whole;
      this.#low = Math.max(low, 0);
      // A whole one asks for nothing: no page of another list is the next of its own.
      this.#next = whole ? null : { after: next, below: low };
      if (!whole && this.#shown().length < this.#count) this.#ask();
      else this.#done();
    }
    this.#tell();
  }

  #changed({ rows, gone }: Pick<IndexChanged, "rows" | "gone">): void {
    this.#take(rows, gone);
    this.#tell();
  }

  #retry(): void {
    this.#again = null;
    this.#ask();
  }

  /** Ask for nothing again by itself. */
  #rest(): void {
    if (this.#again !== null) clearTimeout(this.#again);
    this.#again = null;
  }

  #take(rows: readonly IndexRow[], gone: readonly string[]): void {
    for (const session of gone) {
      this.#held.delete(session);
      this.#gone.add(session);
    }
    for (const row of rows) {
      this.#held.set(row.session, row);
      this.#gone.delete(row.session);
    }
    // One tab stores for all.
    if (this.#host.leads) void this.#store.put(rows, gone);
  }

  #done(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #tell(): void {
    this.#rows = null;
    this.version++;
    for (const listener of this.#listeners) listener();
  }
}

/** See `Client.archive`. */
export async function putAway(url: string, given: Token, session: string, archived: boolean): Promise<void> {
  const token = typeof given === "function" ? await given() : (given ?? "");
  const headers = { ...(token !== "" && { Authorization: `Bearer ${token}` }), "Content-Type": "application/json" };
  const asked = { method: "PUT", headers, body: JSON.stringify({ archived }) };
  const answer = await fetch(`${url}/v1/sessions/${encodeURIComponent(session)}/standing`, asked);
  if (!answer.ok) {
    throw new LocalProtocolError(`the server did not put ${session} away: it answered ${answer.status}`);
  }
}
