/**
 * Copy: one session in this tab: its two documents, what is written into them, and what of that is saved and synced.
 *
 * Knows the store. Knows nothing of the link, of locks, or of how tabs talk: its host does.
 */

import * as Y from "yjs";
import { LocalProtocolError, StoreError } from "./errors.js";
import type { SyncdError } from "./errors.js";
import { DEFAULT_LIMITS, FRAME_OVERHEAD_BYTES } from "./limits.js";
import { mayWrite } from "./messages.js";
import type { JsonMap, Layer, PresenceEntry, Right } from "./messages.js";
import { Documents } from "./documents.js";
import type { DocumentsHost, Touched } from "./documents.js";
import { Adopt, newPending } from "./edits.js";
import type { Pending } from "./edits.js";
import { overlaid } from "./presence.js";
import type { Edit, RefusedEdit, Replica, ReplicaChange } from "./replica.js";
import { Rows } from "./rows.js";
import type { Status } from "./status.js";
import type { Row, Store } from "./store.js";
import type { Standing } from "./tabs.js";
import { everyone } from "./places.js";
import { NO_PROGRESS } from "./progress.js";
import type { Progress } from "./progress.js";
import { same } from "./values.js";

export interface CopyHost {
  readonly store: Store;
  /** This tab's id. */
  readonly tab: string;
  readonly subject: string;
  readonly frameBytesMax: number;
  readonly presenceBytesMax: number;
  /** Where the link stands; a copy that the leader has told nothing of stands there, too. */
  readonly linkStatus: Status;
  /** Own edits of this tab are stored. */
  stored(copy: Copy, rows: readonly Row[]): void;
  /** What the others are to see of this tab is another. */
  presenceMoved(copy: Copy): void;
  /** Nobody here uses it any more, and all is saved. */
  released(copy: Copy): void;
}

/** Of one update; and so many bytes hold at least that many. PROTOCOL 8. */
const STRUCTS_MAX = DEFAULT_LIMITS.updateStructsMax;
const STRUCT_BYTES_MIN = 2;

/**
 * One session in one tab.
 *
 * 1. An own edit shows at once, is stored next, and goes to the other tabs and the server when it is stored.
 * 2. Saved is the store's word, synced the server's ack of this edit: no vector is compared, which would count what
 *    others wrote.
 * 3. The documents hold what the store holds, or is about to: what cannot be stored, or was refused, leaves them.
 */
export class Copy implements Replica, DocumentsHost {
  readonly session: string;
  /** Who here has it open; and how often its documents were made anew. */
  users = 0;
  generation = 0;
  progress: Progress = NO_PROGRESS;
  readonly #host: CopyHost;
  #documents: Documents;
  readonly #rows = new Rows();
  #standing: Standing | null = null;
  rights: ReadonlySet<Right> | null = null;
  #listeners = new Set<(change: ReplicaChange) => void>();
  /** Edits that were begun and have no update yet. */
  #open = new Set<Adopt>();
  #unsaved = new Set<Pending>();
  /** Own rows that the host is to be told of. */
  #fresh: Row[] = [];
  /** Half of an update went in, which is not stored: its vector says more than others will ever get. */
  #torn = false;
  /** What each who has it open here shows, who said it last at the end. */
  readonly #presence = new Map<object, JsonMap>();
  #loading: Promise<void> | null = null;
  #closed = false;

  constructor(session: string, host: CopyHost) {
    this.session = session;
    this.#host = host;
    this.#documents = new Documents(this, {});
  }

  // What the store has

  /** Read it from the store, once, or anew: then the documents are other ones. Throws `StoreError`. */
  load(): Promise<void> {
    this.#loading ??= this.#load().finally(() => (this.#loading = null));
    return this.#loading;
  }

  async #load(): Promise<void> {
    const { store } = this.#host;
    await store.settled();
    const [{ record, rows }, aside] = await Promise.all([store.load(this.session), store.refused(this.session)]);
    if (record !== null) {
      const { incarnation, version, seq, roots } = record;
      this.progress = { incarnation, version, seq, roots };
      this.rights = record.rights && new Set(record.rights);
    }
    const documents = new Documents(this, this.progress.roots);
    try {
      documents.fill(rows);
    } catch (error) {
      throw new StoreError(
        `the copy on this device does not read: forget it and open it anew (${String(error)})`,
        "damaged",
      );
    }
    // What was written here while it was read stands behind it.
    documents.retry([...this.#rows.readAnew(rows, aside), ...this.#unsaved]);
    documents.hear();
    this.#documents.destroy();
    this.#documents = documents;
    this.generation += 1;
  }

  /** Replace the documents by what the store has, and tell. */
  async reload(): Promise<void> {
    await this.load();
    this.#torn = false;
    this.#tell({ kind: "reloaded" });
    this.#tell({ kind: "unsynced" });
    await this.catchUp();
  }

  /** The store was erased and is a new one: what this tab wrote and is not synced goes there. */
  async rescue(): Promise<void> {
    const written = this.#rows.clear();
    this.progress = NO_PROGRESS;
    for (const own of [...written, ...this.#unsaved]) {
      this.#unsaved.add(own);
      this.#store(own);
    }
    await this.reload();
  }

  /** Look for rows that this tab was not told of: it slept, or whoever wrote them died. Return the new own ones. */
  async catchUp(): Promise<readonly Row[]> {
    if (this.#torn) await this.reload(); // Invariant 3.
    const { store } = this.#host;
    const rows = await store.after(this.session, this.#rows.seen);
    const found = this.#rows.unknown(rows);
    this.absorb(found);
    this.#rows.readTo(rows.at(-1)?.row ?? 0);
    await this.#catchUpOwn();
    return found.filter((row) => row.own);
  }

  /** Look what became of own rows meanwhile. */
  async #catchUpOwn(): Promise<void> {
    const { store } = this.#host;
    const before = this.#rows.mine;
    const [own, aside] = await Promise.all([store.own(this.session), store.refused(this.session)]);
    const gone = before.filter((row) => !own.has(row));
    const refused = aside.filter((edit) => gone.includes(edit.row) && this.#rows.settle([edit.row], edit));
    for (const edit of refused) this.#tell({ kind: "refused", edit });
    this.syncedRows(gone);
    if (refused.length > 0) await this.reload(); // Invariant 3.
  }

  /** Take rows that are in the store. */
  absorb(rows: readonly Row[]): void {
    const fresh = this.#rows.unknown(rows);
    if (fresh.length === 0) return;
    const mine = this.#rows.know(fresh);
    const whole = this.#documents.take(fresh);
    if (mine) this.#tell({ kind: "unsynced" });
    // What it stands on was not told: it is in the store, before it.
    if (!whole && this.#loading === null) void this.reload().catch(() => {});
  }

  /** Rows whose content is in the documents: the leader stored what its uplink had applied. */
  knows(rows: readonly Row[]): void {
    this.#rows.know(rows);
  }

  /** The server said how far this copy goes. */
  moved(progress: Progress): void {
    this.progress = { ...progress, roots: this.progress.roots };
    this.#takeRoots(progress.roots);
  }

  // What the uplink asks

  vector(layer: Layer): Uint8Array {
    return Y.encodeStateVector(this.document(layer));
  }

  /** Apply an update; whether it went in without a gap. */
  fits(layer: Layer, update: Uint8Array): boolean {
    const whole = this.#documents.take([{ layer, update }]);
    this.#torn ||= !whole;
    return !this.#torn;
  }

  // What is told of it

  syncedRows(rows: readonly number[]): void {
    if (this.#rows.settle(rows)) this.#tell({ kind: "unsynced" });
  }

  /** The server refused these rows: they are in the store among the refused ones. A reload follows. */
  async refusedRows(rows: readonly number[], code: string, reason: string): Promise<void> {
    this.#rows.settle(rows, { code, reason });
    this.#tell({ kind: "unsynced" });
    for (const edit of await this.#host.store.refused(this.session)) {
      if (rows.includes(edit.row)) this.#tell({ kind: "refused", edit });
    }
  }

  caughtUp(count: number): void {
    this.#tell({ kind: "caught-up", count });
  }

  /** The leader says where the session stands. */
  stands(standing: Standing): void {
    const before = this.#standing;
    this.#standing = standing;
    if (standing.rights !== null) this.rights = new Set(standing.rights);
    this.#takeRoots(standing.roots);
    if (before === null || !same(before.status, standing.status)) this.#tell({ kind: "status" });
    if (before === null || !same([before.presence, before.tabs], [standing.presence, standing.tabs])) {
      this.#tell({ kind: "presence" });
    }
  }

  /** This tab left the others: what it was told is over, and it is told anew when it is back. */
  parted(): void {
    this.#standing = null;
  }

  /** The link stands elsewhere; where it is not live, nobody is there. */
  linkStands(): void {
    this.#tell({ kind: "status" });
    this.#tell({ kind: "presence" });
  }

  #takeRoots(roots: Readonly<Record<string, string>>): void {
    const fresh = Object.keys(roots).some((name) => this.progress.roots[name] !== roots[name]);
    if (!fresh) return;
    this.progress = { ...this.progress, roots: { ...this.progress.roots, ...roots } };
    try {
      this.#documents.takeRoots(this.progress.roots);
    } catch {
      // Made here with another kind, unsynced: with the server's, what does not fit will be refused.
      void this.reload().catch(() => {});
    }
  }

  // Replica

  get subject(): string {
    return this.#host.subject;
  }

  get status(): Status {
    const link = this.#host.linkStatus;
    return link.link === "live" && this.#standing !== null ? this.#standing.status : notYet(link);
  }

  get presenceBytesMax(): number {
    return this.#host.presenceBytesMax;
  }

  get unsynced(): number {
    return this.#rows.unsynced + this.#unsaved.size;
  }

  get roots(): ReadonlyMap<string, number> {
    return new Map(Object.entries(this.progress.roots).map(([name, kind]) => [name, Number(kind)]));
  }

  document(layer: Layer): Y.Doc {
    return this.#documents.of(layer);
  }

  edit(layer: Layer, change: (document: Y.Doc) => void): Edit {
    if (this.#closed) throw new LocalProtocolError(`${this.session} is closed: open it again`);
    if (this.#host.store.gone !== null) throw this.#host.store.gone;
    this.#checkRight(layer);
    const document = this.document(layer);
    const edit = new Adopt();
    this.#open.add(edit);
    try {
      // One that is made while another is told of gets its update after that one.
      document.once("afterAllTransactions", () => {
        if (this.#open.delete(edit)) edit.nothing();
      });
      document.transact(() => change(document));
    } catch (error) {
      // What it wrote until then stands, as in any transaction.
      if (this.#open.delete(edit)) edit.nothing();
      throw error;
    }
    if (edit.error !== null) throw edit.error;
    return edit;
  }

  presence(): readonly PresenceEntry[] {
    // It is kept meanwhile: a leader that was quiet for a moment has no reason to tell it again.
    if (this.#standing === null || this.#host.linkStatus.link !== "live") return [];
    return everyone(this.#standing, this.#host.tab);
  }

  setPresence(state: JsonMap | null, owner: object): void {
    this.#presence.delete(owner);
    if (state !== null) this.#presence.set(owner, state);
    this.#host.presenceMoved(this);
  }

  /** What this tab shows of itself. */
  get ownPresence(): JsonMap | null {
    return this.#presence.size > 0 ? overlaid([...this.#presence.values()]) : null;
  }

  listen(listener: (change: ReplicaChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async saved(): Promise<void> {
    await Promise.all(Array.from(this.#unsaved, ({ saved }) => saved.promise));
  }

  async synced(): Promise<void> {
    await this.saved();
    await this.#rows.synced();
  }

  refused(): Promise<readonly RefusedEdit[]> {
    return this.#host.store.refused(this.session);
  }

  dropRefused(): Promise<void> {
    return this.#host.store.dropRefused(this.session);
  }

  async close(): Promise<void> {
    if (this.users === 0) return;
    this.users -= 1;
    if (this.users > 0) return;
    this.#presence.clear();
    await this.saved().catch(() => {});
    if (this.users === 0) this.#host.released(this);
  }

  /** Let go of the documents. */
  destroy(): void {
    this.#closed = true;
    this.#listeners.clear();
    this.#documents.destroy();
  }

  // DocumentsHost

  touched(layer: Layer, entries: Touched, own: boolean): void {
    if (layer === "transcript") this.#tell({ kind: "transcript", entries, own });
    else this.#tell({ kind: "state", names: [...new Set(entries.map(([name]) => name))], own });
  }

  // Own edits

  #checkRight(layer: Layer): void {
    if (!mayWrite(layer, this.rights))
      throw new LocalProtocolError(`the token does not allow to write the ${layer} of ${this.session}`);
  }

  wrote(layer: Layer, update: Uint8Array): void {
    const edits = [...this.#open];
    this.#open.clear();
    const tooLarge = this.#tooLarge(update);
    if (tooLarge !== null) {
      for (const edit of edits) edit.fail(tooLarge);
      if (edits.length === 0) this.#lost(layer, update, tooLarge);
      void this.reload().catch(() => {}); // Invariant 3.
      return;
    }
    const own = newPending(update, layer);
    for (const edit of edits) edit.adopt(own);
    if (edits.length === 0) own.saved.promise.catch((error: StoreError) => this.#lost(layer, update, error));
    this.#unsaved.add(own);
    this.#store(own);
    this.#tell({ kind: "unsynced" });
  }

  /** An edit that nobody waits for, such as an editor's, is not kept: whoever listens is told. */
  #lost(layer: Layer, update: Uint8Array, { code, message: reason }: SyncdError): void {
    this.#tell({ kind: "refused", edit: { layer, update, code, reason, at: Date.now() } });
  }

  #store(own: Pending): void {
    this.#host.store.append(this.session, own.layer, own.update).then(
      (row) => {
        this.#unsaved.delete(own);
        this.#rows.stored(row, own);
        own.saved.resolve();
        const { layer, update } = own;
        if (this.#fresh.push({ row, session: this.session, layer, update, own: true }) === 1) {
          queueMicrotask(() => this.#host.stored(this, this.#fresh.splice(0))); // Invariant 1.
        }
      },
      (error: StoreError) => {
        if (error.code === "cleared") return; // It goes into the store that takes the place of this one.
        this.#unsaved.delete(own);
        own.saved.reject(error);
        own.synced.reject(error);
        if (this.#unsaved.size === 0 && this.#host.store.gone === null) void this.reload().catch(() => {}); // Invariant 3.
      },
    );
  }

  #tooLarge(update: Uint8Array): LocalProtocolError | null {
    const most = this.#host.frameBytesMax - FRAME_OVERHEAD_BYTES;
    if (update.length > most) {
      return new LocalProtocolError(
        `one edit holds at most ${most} bytes, this one ${update.length}: make several of it`,
      );
    }
    if (update.length < STRUCTS_MAX * STRUCT_BYTES_MIN) return null;
    const { structs } = Y.decodeUpdate(update);
    if (structs.length <= STRUCTS_MAX) return null;
    return new LocalProtocolError(
      `one edit holds at most ${STRUCTS_MAX} parts, this one ${structs.length}: make several`,
    );
  }

  #tell(change: ReplicaChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

/** Of a session the leader has said nothing of yet: the link is there, and it is being opened. */
function notYet(link: Status): Status {
  return link.link === "live" ? { ...link, link: "reconnecting" } : link;
}
