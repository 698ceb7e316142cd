/**
 * Session: one session's two documents in this tab, with or without a network: what is written into them, what of that
 * is saved and synced, and who is here.
 *
 * Works on a `Replica`. Knows nothing of sockets, stores or tabs, nor of what a transcript says.
 */

import type * as Y from "yjs";
import { LocalProtocolError } from "./errors.js";
import type { Layer, PresenceEntry, Right } from "./messages.js";
import { Presence } from "./presence.js";
import type { Edit, RefusedEdit, Replica, ReplicaChange } from "./replica.js";
import { State } from "./state.js";
import type { Status } from "./status.js";
import { same } from "./values.js";
import { Listeners, within } from "./waiting.js";

export interface SessionOptions {
  /** Called once, when this object is closed. */
  readonly onClose?: () => void;
}

/**
 * One session in this tab. Open it with `Client.open`.
 *
 * 1. An edit is applied at once; what it returns says when it is saved, and when it is synced.
 * 2. What is read twice is the same object until it changed.
 * 3. Listeners are called at most once a microtask, however much changed.
 */
export class Session {
  readonly id: string;
  readonly state: State;
  readonly presence: Presence;
  protected readonly replica: Replica;
  readonly #listeners = new Listeners();
  readonly #stopListening: () => void;
  readonly #onClose: () => void;
  #rights: ReadonlySet<Right> | null;
  #status: Status;
  #version = 0;
  #closed: Promise<void> | null = null;

  /** Called by `Client.open`. */
  constructor(replica: Replica, { onClose = () => {} }: SessionOptions = {}) {
    this.id = replica.session;
    this.replica = replica;
    this.state = new State(replica);
    this.presence = new Presence(replica);
    this.#rights = replica.rights;
    this.#status = replica.status;
    this.#onClose = onClose;
    this.#stopListening = replica.listen((change) => this.#heard(change));
  }

  /** Save what is not saved, and let go. What is not synced stays in this browser and goes out later. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  // Reading

  /** Who writes here, such as `user:mona`; empty before the first contact with a server. */
  get subject(): string {
    return this.replica.subject;
  }

  /** What the grant allows here; null until this device has been on the session once. */
  get rights(): ReadonlySet<Right> | null {
    const now = this.replica.rights;
    if (!same(this.#rights && [...this.#rights], now && [...now])) this.#rights = now;
    return this.#rights;
  }

  /** Where it stands: live, reconnecting, offline, or refused with the reason. */
  get status(): Status {
    const now = this.replica.status;
    if (!same(this.#status, now)) this.#status = now;
    return this.#status;
  }

  /** How many own edits, of all tabs of this device, are not on the server's disk yet. */
  get unsynced(): number {
    return this.replica.unsynced;
  }

  /** Moves with every change: compare it to know whether anything is new. */
  get version(): number {
    return this.#version;
  }

  /** A layer's document as it is now: another one after an edit was refused. */
  document(layer: Layer): Y.Doc {
    return this.replica.document(layer);
  }

  // Writing

  /**
   * Let `change` write into a layer's document, in one transaction.
   *
   * Throws `LocalProtocolError`: the grant does not allow it, it is too large for one frame, or this is closed.
   */
  transact(layer: Layer, change: (document: Y.Doc) => void): Edit {
    if (this.#closed !== null) throw this.#closedError();
    return this.replica.edit(layer, change);
  }

  /** Resolves when every edit made so far is saved. Rejects with `StoreError`. */
  saved(): Promise<void> {
    return this.replica.saved();
  }

  /** Resolves when every edit made so far is on the server's disk. */
  synced(): Promise<void> {
    return this.replica.synced();
  }

  /** Own edits that the server refused: kept until `dropRefused`. */
  refused(): Promise<readonly RefusedEdit[]> {
    return this.replica.refused();
  }

  /** Let go of the refused edits. */
  dropRefused(): Promise<void> {
    return this.replica.dropRefused();
  }

  // Waiting

  /** Call `listener` after anything changed, at most once a microtask. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  /**
   * Resolves to the first that `look` finds: now, or when something changed.
   *
   * Rejects with `TimedOut`, or with `LocalProtocolError` when the session is closed.
   */
  until<T>(look: () => T | null, timeoutMs?: number): Promise<T> {
    return within(this.#listeners.until(look), timeoutMs);
  }

  // Inside

  /** What happened, and which entries of the presence are others with it. Told to listeners after that. */
  protected changed(_change: ReplicaChange, _present: readonly PresenceEntry[]): void {}

  #heard(change: ReplicaChange): void {
    const moves = change.kind === "presence" || change.kind === "status";
    this.changed(change, moves ? this.presence.refresh() : []);
    this.tell();
  }

  /** Something is another, and the listeners are to look. */
  protected tell(): void {
    this.#version++;
    this.#listeners.tell();
  }

  async #close(): Promise<void> {
    try {
      await this.replica.saved();
    } finally {
      this.#stopListening();
      this.state.close();
      this.#listeners.close(this.#closedError());
      this.#onClose();
      await this.replica.close();
      this.presence.close(); // Of others that have it open here, what they show stays.
    }
  }

  #closedError(): LocalProtocolError {
    return new LocalProtocolError(`session ${this.id} is closed here: open it again`, "closed");
  }
}
