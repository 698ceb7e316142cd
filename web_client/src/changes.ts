/**
 * Changes: what is new in a session, as a stream that a slow reader cannot make grow.
 *
 * Knows which thing each changed entry belongs to. Knows nothing of documents or of the network.
 */

import type { CommandView } from "./commands.js";
import { runOfCall, splitRunKey } from "./core/ids.js";
import type { PresenceEntry } from "./core/messages.js";
import { runOfFact } from "./runs.js";
import type { Handover, RunView } from "./runs.js";
import type { Status } from "./core/status.js";
import type { Entries, MessageView } from "./transcript.js";

export type Change =
  /**
   * First of all, and again after every reconnect. `count`: messages and commands that came meanwhile. `live` is false
   * if that is not known yet: the copy is shown as it is in this browser.
   */
  | { readonly kind: "caught-up"; readonly count: number; readonly live: boolean }
  /** A message is new, grew, or got its receipt. `own`: this tab wrote what changed. */
  | { readonly kind: "message"; readonly message: MessageView; readonly own: boolean }
  /** A command is new, or the server decided about it: see its `receipt`. */
  | { readonly kind: "command"; readonly command: CommandView }
  /** A run is new, moved or ended, took a steer, or got a decision. */
  | { readonly kind: "run"; readonly run: RunView; readonly own: boolean }
  /** Somebody else is responsible for the session now. */
  | { readonly kind: "assigned"; readonly to: string; readonly by: string; readonly note: string }
  /** How far `subject` has read. */
  | { readonly kind: "read"; readonly subject: string; readonly seq: number }
  /** Something under the root `name` of the shared state changed. */
  | { readonly kind: "state"; readonly name: string; readonly own: boolean }
  /** Somebody came, changed or left (`entry.state` is null). */
  | { readonly kind: "presence"; readonly entry: PresenceEntry }
  /** The session went live, lost its link, or was refused. */
  | { readonly kind: "status"; readonly status: Status }
  /**
   * The server refused an own edit for good: it is kept, see `Session.refused`. Or an editor's was refused here, too large
   * or without space: it is not kept, and `code` is that of a `LocalProtocolError` or a `StoreError`.
   */
  | { readonly kind: "refused"; readonly code: string; readonly reason: string };

/** Makes the change when it is read, so that a reader who comes late gets the thing as it is then. */
type Make = () => Change | null;

/**
 * One reader's changes, in order: `for await (const change of session.changes())`. Leaving the loop ends it.
 *
 * 1. Changes of the same thing that were not read yet become one, in the place of the first: what waits is bounded by
 *    how many things there are, not by how often they change.
 */
export class Changes implements AsyncIterableIterator<Change> {
  #waiting = new Map<string, Make>();
  #readers: ((result: IteratorResult<Change, undefined>) => void)[] = [];
  #closed = false;

  constructor(private readonly closed: (changes: Changes) => void) {}

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Change, undefined>> {
    return new Promise((resolve) => {
      this.#readers.push(resolve);
      this.#serve();
    });
  }

  return(): Promise<IteratorResult<Change, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** End the iteration, after what waits was read. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.closed(this);
    this.#serve();
  }

  /** Note that `thing` changed. */
  put(thing: string, make: Make): void {
    this.#waiting.set(thing, make); // Invariant 1.
    this.#serve();
  }

  #serve(): void {
    while (this.#readers.length > 0) {
      const next = this.#waiting.entries().next();
      if (next.done) break;
      this.#waiting.delete(next.value[0]);
      const change = next.value[1]();
      if (change !== null) this.#readers.shift()!({ done: false, value: change });
    }
    if (this.#closed) for (const reader of this.#readers.splice(0)) reader({ done: true, value: undefined });
  }
}

/** What a feed needs of its session: things as they are when a reader gets to them. */
export interface FeedHost {
  readonly status: Status;
  message(id: string): MessageView | null;
  commandView(id: string): CommandView | null;
  run(id: string): RunView | null;
  handover(): Handover | null;
  reads(): ReadonlyMap<string, number>;
}

/** All readers of one session's changes. */
export class Feed {
  #readers = new Set<Changes>();
  #caughtUp = { count: 0, live: false };

  constructor(private readonly host: FeedHost) {}

  /** What is new from now on, first `caught-up`. */
  open(): Changes {
    const reader = new Changes((closed) => this.#readers.delete(closed));
    const { link } = this.host.status;
    const caughtUp = { ...this.#caughtUp, kind: "caught-up" as const };
    if (link !== "live") caughtUp.live = false;
    reader.put("caught-up", () => caughtUp);
    // Said before this reader listened, it will not be said again.
    if (link === "refused") reader.put("status", () => ({ kind: "status", status: this.host.status }));
    this.#readers.add(reader);
    return reader;
  }

  close(): void {
    for (const reader of this.#readers) reader.close();
  }

  caughtUp(count: number): void {
    this.#caughtUp = { count, live: true };
    this.#put("caught-up", () => ({ kind: "caught-up", count, live: true }));
  }

  /** Entries of the transcript changed. */
  transcript(entries: Entries, own: boolean): void {
    if (this.#readers.size === 0) return;
    for (const [root, key] of entries) {
      const prefix = root === "receipts" ? key.slice(0, 2) : root;
      const id = root === "receipts" ? key.slice(2) : key;
      if (prefix === "messages" || prefix === "m:") this.#put(`message ${id}`, () => this.#message(id, own));
      else if (prefix === "commands" || prefix === "c:") this.#put(`command ${id}`, () => this.#command(id));
      else if (prefix === "reads") this.#put(`read ${id}`, () => this.#read(id));
      else if (prefix === "a:") this.#put("assigned", () => this.#assigned());
      else {
        const run = runOf(prefix, key);
        if (run !== "") this.#put(`run ${run}`, () => this.#run(run, own));
      }
    }
  }

  /** Something under these roots of the state changed. */
  state(names: Iterable<string>, own: boolean): void {
    for (const name of names) this.#put(`state ${name}`, () => ({ kind: "state", name, own }));
  }

  presence(entries: Iterable<PresenceEntry>): void {
    for (const entry of entries) this.#put(`presence ${entry.peer}`, () => ({ kind: "presence", entry }));
  }

  status(): void {
    this.#put("status", () => ({ kind: "status", status: this.host.status }));
  }

  refused(code: string, reason: string): void {
    this.#put(`refused ${code}`, () => ({ kind: "refused", code, reason }));
  }

  #put(thing: string, make: Make): void {
    for (const reader of this.#readers) reader.put(thing, make);
  }

  #message(id: string, own: boolean): Change | null {
    const message = this.host.message(id);
    return message === null ? null : { kind: "message", message, own };
  }

  #command(id: string): Change | null {
    const command = this.host.commandView(id);
    return command === null ? null : { kind: "command", command };
  }

  #run(id: string, own: boolean): Change | null {
    const run = this.host.run(id);
    return run === null ? null : { kind: "run", run, own };
  }

  #assigned(): Change | null {
    const found = this.host.handover();
    return found === null ? null : { kind: "assigned", to: found.to, by: found.by, note: found.note };
  }

  #read(subject: string): Change {
    return { kind: "read", subject, seq: this.host.reads().get(subject) ?? 0 };
  }
}

/** The run that an entry is about; empty if it is about none. */
function runOf(prefix: string, key: string): string {
  if (prefix === "runs") return splitRunKey(key)[0];
  return prefix === "d:" ? runOfCall(key.slice(2)) : prefix === "r:" ? runOfFact(key) : "";
}
