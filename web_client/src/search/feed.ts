/**
 * Feed: brings messages into the search copy, whoever holds it. Knows nothing of tabs, workers or queries.
 */

import { Batch, pieces } from "./batch.js";
import { EMPTY_MARK, Unanswered, indexed, marked } from "./requests.js";
import type { Holder, Indexed, Searchable } from "./requests.js";
import { Turns } from "./turns.js";

export interface FeedHost {
  /** Who has the copy; null while nobody is known to. */
  readonly holder: Holder | null;
  /** Whether that is this tab's own worker. */
  readonly holds: boolean;
  /** All messages of a session, null if they are not at hand. */
  messages(session: string): readonly Searchable[] | null;
  /** `holder` did not do it. What was to be done is kept. */
  failed(holder: Holder, error: Unanswered): void;
  /** There is nothing more to do. */
  idle(): void;
}

/** What is done at a time: a session as a whole, or some messages of it. */
interface Piece {
  readonly session: string;
  readonly messages: readonly Searchable[];
  readonly isWhole: boolean;
}

/**
 * What is to be indexed, and the one thing that is being indexed.
 *
 * 1. What the holder did not confirm is done again, with it or with the next: nothing is forgotten before that.
 * 2. One request at a time, none larger than a piece: a search in between waits for one at most.
 * 3. A session that is indexed as it is costs one question.
 */
export class Feed {
  readonly #batch = new Batch();
  /** Sessions to be gone through as a whole. */
  readonly #whole = new Set<string>();
  #sending: Piece | null = null;
  #sent: Promise<Unanswered | null> = Promise.resolve(null);
  /** What is being sent and is not to be sent again. */
  #dropped: Piece | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #isRunning = false;
  #isClosed = false;

  constructor(private readonly host: FeedHost) {}

  /** Whether all is indexed. */
  get isIdle(): boolean {
    return !this.#isRunning && this.#whole.size === 0 && this.#batch.isEmpty;
  }

  /** Index these soon: when they are written, or nothing was added to them for two seconds. */
  put(session: string, messages: Iterable<Searchable>): void {
    for (const message of messages) this.#batch.put(session, message, performance.now());
    this.kick();
  }

  /** See that the copy has just the messages that the session has. */
  bring(session: string): void {
    this.#whole.add(session);
    this.kick();
  }

  /** Forget what is to be indexed of a session, and wait for what is on its way; return whether anything was. */
  async drop(session: string): Promise<boolean> {
    this.#whole.delete(session);
    this.#batch.drop(session);
    if (this.#sending?.session !== session) return false;
    this.#dropped = this.#sending;
    await this.#sent;
    return true;
  }

  /** What is not indexed yet, of this tab. */
  *pending(): Generator<readonly [session: string, messages: readonly Searchable[]]> {
    if (this.#sending !== null) yield [this.#sending.session, this.#sending.messages];
    for (const session of this.#whole) yield [session, this.host.messages(session) ?? []];
    for (const [session, messages] of this.#batch.messages()) if (!this.#whole.has(session)) yield [session, messages];
  }

  /** Go on: there is something to do, or somebody to do it. */
  kick(): void {
    if (!this.#isRunning && !this.#isClosed) void this.#run();
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (!this.#isClosed && this.host.holder !== null) {
      const holder = this.host.holder;
      const next = this.#next();
      if (next === null) break;
      this.#sending = next;
      this.#sent = this.#send(holder, next);
      const failure = await this.#sent;
      this.#sending = null;
      if (failure !== null) this.host.failed(holder, failure);
    }
    this.#isRunning = false;
    if (this.isIdle) this.host.idle();
    this.#wait();
  }

  /** What to do next: a session as a whole, or what is due of one. */
  #next(): Piece | null {
    for (const session of this.#whole) {
      this.#whole.delete(session);
      const messages = this.host.messages(session);
      if (messages !== null) return { session, messages, isWhole: true };
    }
    const due = this.#batch.take(performance.now());
    return due === null ? null : { ...due, isWhole: false };
  }

  async #send(holder: Holder, piece: Piece): Promise<Unanswered | null> {
    const { session, messages, isWhole } = piece;
    try {
      if (isWhole) await this.#sendWhole(holder, session, messages);
      else await this.#sendSome(holder, session, messages);
      return null;
    } catch (error) {
      if (piece !== this.#dropped) this.#again(piece); // Invariant 1.
      return error instanceof Unanswered ? error : new Unanswered("failed", String(error));
    }
  }

  #again({ session, messages, isWhole }: Piece): void {
    if (isWhole) this.#whole.add(session);
    else this.#batch.back(session, messages, performance.now());
  }

  async #sendWhole(holder: Holder, session: string, messages: readonly Searchable[]): Promise<void> {
    const turns = new Turns();
    const all = new Map<string, Indexed>();
    let mark = EMPTY_MARK;
    for (const message of messages) {
      if (turns.isDue) await turns.next();
      if (message.text === "") continue;
      const one = indexed(message);
      all.set(one.id, one);
      mark = marked(mark, one.hash, 1);
    }
    if (await holder.ask({ kind: "same", session, mark })) return; // Invariant 3.
    // Another tab's view may be an older one: only the holder's takes messages out.
    await this.#offer(holder, session, all, this.host.holds);
  }

  async #sendSome(holder: Holder, session: string, messages: readonly Searchable[]): Promise<void> {
    const all = new Map(messages.map((message) => [message.id, indexed(message)]));
    // Several tabs may have the session open: what one of them brought the others need not.
    if (this.host.holds) await this.#put(holder, session, all.values());
    else await this.#offer(holder, session, all, false);
  }

  async #offer(holder: Holder, session: string, all: Map<string, Indexed>, whole: boolean): Promise<void> {
    const entries = Array.from(all.values(), ({ id, hash }) => [id, hash] as const);
    const wanted = (await holder.ask({ kind: "offer", session, entries, whole })) as string[];
    await this.#put(
      holder,
      session,
      wanted.flatMap((id) => all.get(id) ?? []),
    );
  }

  async #put(holder: Holder, session: string, messages: Iterable<Indexed>): Promise<void> {
    for (const piece of pieces(messages)) await holder.ask({ kind: "put", session, messages: piece }); // Invariant 2.
  }

  #wait(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const dueMs = this.#batch.dueMs;
    if (dueMs === null || this.#isClosed || this.host.holder === null) return;
    this.#timer = setTimeout(() => this.kick(), Math.max(0, dueMs - performance.now()));
  }
}
