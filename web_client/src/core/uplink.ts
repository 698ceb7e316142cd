/**
 * Uplink: one session's way from this device's store to the server and back.
 *
 * Stored own edits and the server's frames in; what to store, what to send and what happened out. One for each session,
 * in the tab that holds the link. Knows nothing of sockets, timers, databases, other tabs, or what documents hold.
 */

import { Flights, type Own } from "./flights.js";
import { FRAME_OVERHEAD_BYTES, type Limits } from "./limits.js";
import {
  LAYERS,
  mayWrite,
  type ByLayer,
  type ClientMessage,
  type Json,
  type Layer,
  type Opened,
  type PresenceEntry,
  type Right,
  type ServerMessage,
} from "./messages.js";
import type { Progress } from "./progress.js";
import { EMPTY_UPDATE, isHeld, readUpdate, stands, type Facts } from "./updates.js";
import * as Y from "yjs";

/** An own edit that is stored and not acked, of any tab of this device. `row`s ascend in the order of storing. */
export interface OwnRow {
  readonly row: number;
  readonly layer: Layer;
  readonly update: Uint8Array;
}

/** This tab's documents. */
export interface Copy {
  /** The state vector of all that is applied. */
  vector(layer: Layer): Uint8Array;
  /** Apply an update of the server at once, if it fits: whether nothing that it stands on is missing. */
  fits(layer: Layer, update: Uint8Array): boolean;
}

export type Write =
  /** An update of the server. It was applied; it may bring nothing new. */
  | { readonly kind: "remote"; readonly layer: Layer; readonly update: Uint8Array }
  /** These own rows are on the server's disk. */
  | { readonly kind: "synced"; readonly rows: readonly number[] }
  /** These own rows were refused for good: move them aside, readable. */
  | { readonly kind: "refused"; readonly rows: readonly number[]; readonly code: string; readonly reason: string }
  | { readonly kind: "progress"; readonly progress: Progress };

export type UplinkEvent =
  /** The session is live: `count` messages and commands came since this device was told last. */
  | { readonly kind: "caught-up"; readonly count: number }
  /** These entries are others now; those with the state null are gone. */
  | { readonly kind: "presence"; readonly entries: readonly PresenceEntry[] }
  | { readonly kind: "storage"; readonly full: boolean }
  /** The session is closed on this link, by the server or since it is out of step: a code of PROTOCOL 6. */
  | { readonly kind: "shut"; readonly code: number; readonly reason: string }
  | { readonly kind: "synced"; readonly rows: readonly number[] }
  | { readonly kind: "refused"; readonly rows: readonly number[]; readonly code: string; readonly reason: string }
  | { readonly kind: "rights"; readonly rights: ReadonlySet<Right> }
  /** Make the documents of all tabs anew from the store, under fresh client ids: they hold what was refused. */
  | { readonly kind: "reload"; readonly reason: string };

export type UplinkState = "closed" | "opening" | "open";

const NORMAL = 1000;
const RESYNC = 4002;
const REPLACED = 4413;

/**
 * 1. Store, then send: `take` gets what is stored.
 * 2. Own rows are pushed in the order they were stored, as they were stored, never as a diff of a document: that
 *    carries everybody's deletions, which the server refuses.
 * 3. Nothing is called synced that the server did not ack, or hold at an opening.
 * 4. A refused row is set aside with those that build on it, never dropped; the others go on.
 * 5. Any irregularity shuts the session; opening it again is the only repair.
 *
 * Store the writes of `ready` in one transaction, then deliver its events, and show remote updates to other tabs; send
 * what `outgoing` returns at any time. All own rows of the store must have been taken before `connect`.
 */
export class Uplink {
  readonly #flights: Flights;
  readonly #own = new Map<number, Own>();
  /** From which clock of a client id on what was written under it was refused, or builds on that. */
  readonly #lost: Record<Layer, Map<number, number>> = { transcript: new Map(), state: new Map() };
  readonly #ackTimeoutMs: number;
  #state: UplinkState = "closed";
  #progress: Progress;
  #presence = new Map<string, PresenceEntry>();
  #rights: ReadonlySet<Right> | null = null;
  #storageFull = false;
  #writes: Write[] = [];
  #events: UplinkEvent[] = [];
  #out: ClientMessage[] = [];
  #undeclared: number[] = [];
  #myPresence: Json = null;
  #presenceDirty = false;
  /** The server may still have it open on this link. */
  #leaveFirst = false;

  /** `limits` are looked at whenever they matter: the one who made them may set what a later `Welcome` says. */
  constructor(
    readonly session: string,
    private readonly limits: Limits,
    progress: Progress,
    private readonly copy: Copy,
    options: { readonly ackTimeoutMs?: number } = {},
  ) {
    this.#progress = progress;
    this.#flights = new Flights(limits);
    this.#ackTimeoutMs = options.ackTimeoutMs ?? 60_000;
  }

  get state(): UplinkState {
    return this.#state;
  }

  get progress(): Progress {
    return this.#progress;
  }

  /** The last `seq` that this device was told. */
  get seq(): number {
    return this.#progress.seq;
  }

  /** As the server said at the last opening; null before the first. */
  get rights(): ReadonlySet<Right> | null {
    return this.#rights;
  }

  get storageFull(): boolean {
    return this.#storageFull;
  }

  /** Everybody who is here, this link included, by peer. */
  get presence(): ReadonlyMap<string, PresenceEntry> {
    return this.#presence;
  }

  /** How many own rows are not on the server's disk. */
  get unsynced(): number {
    return this.#own.size;
  }

  // This device

  /** Take an own row, once it is stored. One that is known is passed over. */
  take(row: OwnRow): void {
    if (this.#own.has(row.row)) return;
    let facts: Facts;
    try {
      facts = readUpdate(row.update);
    } catch (error) {
      this.#setAside([row.row], "malformed", `it does not read back as an update: ${String(error)}`);
      return;
    }
    const own: Own = { row: row.row, layer: row.layer, update: row.update, facts, alone: false };
    this.#own.set(own.row, own);
    if (this.#state === "open") this.#queue([own]);
  }

  /** Say what the others see of this device, null for nothing. Sent now, and again after every opening. */
  setPresence(state: Json): void {
    this.#myPresence = state;
    this.#presenceDirty = true;
  }

  /** Bind client ids that a tab of this device is about to write under. */
  declare(clientIds: readonly number[]): void {
    if (this.#state !== "closed") this.#undeclared.push(...clientIds);
  }

  // The link

  /** Start opening the session. `clientIds` are those that this device's tabs write under now. */
  connect(clientIds: readonly number[]): void {
    if (this.#state !== "closed") this.#close();
    if (this.#leaveFirst) this.#out.push({ kind: "Leave", session: this.session });
    this.#state = "opening";
    this.#leaveFirst = true;
    const ids = new Set(clientIds);
    for (const own of this.#own.values()) for (const client of own.facts.ends.keys()) ids.add(client);
    this.#out.push({
      kind: "Open",
      session: this.session,
      vectors: { transcript: this.copy.vector("transcript"), state: this.copy.vector("state") },
      clientIds: [...ids].slice(0, this.limits.clientIdsPerFrameMax),
      incarnation: this.#progress.incarnation,
      version: this.#progress.version,
      seen: this.#progress.seq,
    });
  }

  /** The link is gone. What was not acked will be pushed again. */
  disconnect(): void {
    this.#close();
    this.#leaveFirst = false;
  }

  #close(): void {
    this.#state = "closed";
    this.#out = [];
    this.#undeclared = [];
    this.#flights.reset();
    if (this.#presence.size === 0) return;
    const gone = [...this.#presence.values()].map((entry) => ({ ...entry, state: null }));
    this.#presence = new Map();
    this.#events.push({ kind: "presence", entries: gone });
  }

  #shut(code: number, reason: string): void {
    this.#close();
    this.#events.push({ kind: "shut", code, reason });
  }

  /** Take a frame of this session, or `Storage`. */
  receive(frame: ServerMessage): void {
    if (frame.kind === "Storage") this.#storage(frame.full);
    // 1000 is the answer to a leave: nothing to repair.
    else if (frame.kind === "Closed") {
      if (frame.code !== NORMAL) this.#shut(frame.code, frame.reason);
    } else if (frame.kind === "Opened") this.#opened(frame);
    else if (this.#state !== "open") return;
    else if (frame.kind === "Update") this.#remote(frame.layer, frame.update);
    else if (frame.kind === "Ack") this.#synced(this.#flights.ack(frame.number));
    else if (frame.kind === "Reject") this.#refuse(this.#flights.reject(frame.number), frame.code, frame.reason);
    else if (frame.kind === "PresenceChanged") this.#presenceChanged(frame.entries);
  }

  #storage(full: boolean): void {
    if (this.#storageFull === full) return;
    this.#storageFull = full;
    if (!full) this.#flights.rejuvenate();
    this.#events.push({ kind: "storage", full });
  }

  #opened(opened: Opened): void {
    const again = this.#state === "open";
    if (!again && this.#state !== "opening") return;
    if (!again && this.#isOther(opened)) {
      this.#shut(REPLACED, "the server has an older or another session of this name");
      return;
    }
    for (const layer of LAYERS) {
      const update = opened.updates[layer];
      if (update && !this.#apply(layer, update)) return;
    }
    // Else the answer to the last of several opens: the first was taken for it, this one holds what came between.
    if (again) return;
    this.#state = "open";
    const { incarnation, version, seq } = opened;
    this.#advance({ incarnation, version, seq, roots: { ...this.#progress.roots, ...opened.roots } });
    this.#setRights(opened.rights);
    this.#storage(opened.storageFull);
    this.#settle(opened.vectors);
    this.#presence = new Map(opened.presence.map((entry) => [entry.peer, entry]));
    this.#events.push({ kind: "presence", entries: opened.presence });
    this.#events.push({ kind: "caught-up", count: opened.caughtUp });
    this.#presenceDirty = this.#myPresence !== null;
  }

  #isOther(opened: Opened): boolean {
    const { incarnation, version, seq } = this.#progress;
    return (incarnation !== "" && opened.incarnation !== incarnation) || opened.version < version || opened.seq < seq;
  }

  #setRights(rights: readonly string[]): void {
    const known = this.#rights;
    const now = new Set(rights as readonly Right[]); // Those of later versions are there and allow nothing here.
    this.#rights = now;
    if (known?.size === now.size && rights.every((right) => known.has(right as Right))) return;
    this.#events.push({ kind: "rights", rights: now });
  }

  /** Sort own rows into those that the server has already, those to push, and those that build on what it refused. */
  #settle(vectors: ByLayer<Uint8Array>): void {
    for (const layer of LAYERS) {
      const clocks = Y.decodeStateVector(vectors[layer] ?? Uint8Array.of(0));
      const clockOf = (client: number): number => clocks.get(client) ?? 0;
      const owns = [...this.#own.values()].filter((own) => own.layer === layer).toSorted((a, b) => a.row - b.row);
      const done = owns.filter((own) => isHeld(own.facts, clockOf)); // Invariant 3.
      this.#synced(done);
      const ready: Own[] = [];
      const orphans: Own[] = [];
      for (const own of owns) {
        if (!this.#own.has(own.row)) continue;
        if (!own.facts.hole && !stands(own.facts, clockOf)) {
          orphans.push(own);
          continue;
        }
        ready.push(own);
        for (const [client, end] of own.facts.ends) clocks.set(client, Math.max(end, clockOf(client)));
      }
      this.#refuse(orphans, "depends_on_refused", "it builds on an edit that the server does not have");
      this.#queue(ready);
    }
  }

  /** Have rows pushed, but for those that no server would take: some of these would end the link, others be refused. */
  #queue(owns: readonly Own[]): void {
    for (const own of owns) {
      if (!this.#own.has(own.row)) continue;
      const [code, reason] = this.#fault(own) ?? [];
      if (code === undefined) this.#flights.queue(own);
      else this.#refuse([own], code, reason!);
    }
  }

  #fault(own: Own): [code: string, reason: string] | null {
    const { facts, layer, update } = own;
    const { frameBytesMax, updateStructsMax, updateClientsMax } = this.limits;
    if (!mayWrite(layer, this.#rights)) {
      return ["forbidden", `the token no longer allows to write the ${layer}`];
    }
    if (this.#isLost(own)) return ["depends_on_refused", "it builds on an edit that was refused"];
    if (facts.hole) return ["unsupported_content", "something is missing in the middle of it"];
    if (update.length > frameBytesMax - FRAME_OVERHEAD_BYTES) {
      return ["too_large", `it has ${update.length} bytes, more than one frame holds`];
    }
    if (facts.structs > updateStructsMax || facts.deletions > updateStructsMax) {
      return ["too_many_structs", `it has more than ${updateStructsMax} parts`];
    }
    return facts.clients > updateClientsMax
      ? ["too_many_clients", `it has more than ${updateClientsMax} authors`]
      : null;
  }

  #remote(layer: Layer, update: Uint8Array): void {
    if (!this.#apply(layer, update) || layer !== "transcript") return;
    const { seq } = readUpdate(update);
    if (seq > this.#progress.seq) this.#advance({ ...this.#progress, seq });
  }

  /** Apply and store an update of the server; false if it did not fit, and the session is shut. */
  #apply(layer: Layer, update: Uint8Array): boolean {
    if (update.length === EMPTY_UPDATE.length) return true;
    if (!this.copy.fits(layer, update)) {
      this.#shut(RESYNC, `the server sent what does not fit the ${layer}`); // Invariant 5.
      return false;
    }
    this.#writes.push({ kind: "remote", layer, update });
    return true;
  }

  #advance(progress: Progress): void {
    this.#progress = progress;
    this.#writes.push({ kind: "progress", progress });
  }

  #presenceChanged(entries: readonly PresenceEntry[]): void {
    for (const entry of entries) {
      if (entry.state === null) this.#presence.delete(entry.peer);
      else this.#presence.set(entry.peer, entry);
    }
    this.#events.push({ kind: "presence", entries });
  }

  #synced(owns: readonly Own[]): void {
    if (owns.length === 0) return;
    const rows = owns.map((own) => own.row);
    for (const row of rows) this.#own.delete(row);
    this.#writes.push({ kind: "synced", rows });
    this.#events.push({ kind: "synced", rows });
  }

  /** Set rows aside, and all that build on them: these would be refused as well. */
  #refuse(owns: readonly Own[], code: string, reason: string): void {
    if (owns.length === 0) return;
    for (const own of owns) this.#lose(own);
    const heirs = [...this.#own.values()]
      .toSorted((a, b) => a.row - b.row)
      .filter((own) => {
        const lost = this.#isLost(own);
        if (lost) this.#lose(own);
        return lost;
      });
    this.#flights.drop(new Set([...owns, ...heirs]));
    this.#setAside(
      owns.map((own) => own.row),
      code,
      reason,
    );
    if (heirs.length > 0) {
      this.#setAside(
        heirs.map((own) => own.row),
        "depends_on_refused",
        "it builds on an edit that was refused",
      );
    }
  }

  #lose(own: Own): void {
    this.#own.delete(own.row);
    const lost = this.#lost[own.layer];
    for (const [client, clock] of own.facts.begins) lost.set(client, Math.min(clock, lost.get(client) ?? Infinity));
  }

  #isLost(own: Own): boolean {
    const lost = this.#lost[own.layer];
    for (const [client, clock] of own.facts.needs) if (clock > (lost.get(client) ?? Infinity)) return true;
    return false;
  }

  #setAside(rows: readonly number[], code: string, reason: string): void {
    this.#writes.push({ kind: "refused", rows, code, reason });
    this.#events.push({ kind: "refused", rows, code, reason });
    if (!this.#events.some((event) => event.kind === "reload")) {
      this.#events.push({ kind: "reload", reason: "an edit was refused" });
    }
  }

  // The turn

  /** Shut the session if a push was not answered in time. `nowMs` is monotonic. */
  tick(nowMs: number): void {
    const waited = this.#flights.ageMs(nowMs) > this.#ackTimeoutMs;
    if (waited && !this.#storageFull) this.#shut(RESYNC, `no ack within ${this.#ackTimeoutMs / 1_000} s`);
  }

  /** Return what to store in one transaction, and what to tell after that. */
  ready(): { writes: Write[]; events: UplinkEvent[] } {
    const ready = { writes: this.#writes, events: this.#events };
    this.#writes = [];
    this.#events = [];
    return ready;
  }

  /** Return the frames to send now. */
  outgoing(): ClientMessage[] {
    if (this.#state === "open") this.#gather();
    const out = this.#out;
    this.#out = [];
    return out;
  }

  #gather(): void {
    const { session } = this;
    if (this.#presenceDirty) this.#out.push({ kind: "SetPresence", session, state: this.#myPresence });
    this.#presenceDirty = false;
    while (this.#undeclared.length > 0) {
      const clientIds = this.#undeclared.splice(0, this.limits.clientIdsPerFrameMax);
      this.#out.push({ kind: "Declare", session, clientIds });
    }
    if (this.#storageFull) return;
    for (const layer of LAYERS) {
      for (let push = this.#flights.next(layer); push !== null; push = this.#flights.next(layer)) {
        this.#out.push({ kind: "Push", session, layer, ...push });
      }
    }
  }
}
