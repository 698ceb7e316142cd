/**
 * Copy: one session in this tab: its two documents, what is written into them, and what of that is saved and synced.
 *
 * Knows the store. Knows nothing of the link, of locks, or of how tabs talk: its host does.
 */

import * as Y from "yjs";
import { LocalProtocolError, NotSynced, StoreError } from "./errors.js";
import { DEFAULT_LIMITS, FRAME_OVERHEAD_BYTES } from "./limits.js";
import { LAYERS, mayWrite } from "./messages.js";
import type { Json, Layer, PresenceEntry, Right } from "./messages.js";
import { dropPending, freshClientId, grounded, makeRoots, pending, ROOTS, touches } from "./documents.js";
import { Adopt, newPending } from "./edits.js";
import type { Pending } from "./edits.js";
import type { Edit, RefusedEdit, Replica, ReplicaChange } from "./replica.js";
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
 * 4. Every document has a client id of its own, used by no other life.
 * 5. An update whose ground is missing is not kept half: it waits in the store, or for the server to send it again.
 */
export class Copy implements Replica {
  readonly session: string;
  /** Who here has it open; and how often its documents were made anew. */
  users = 0;
  generation = 0;
  progress: Progress = NO_PROGRESS;
  readonly #host: CopyHost;
  #documents: Record<Layer, Y.Doc>;
  #standing: Standing | null = null;
  rights: ReadonlySet<Right> | null = null;
  #listeners = new Set<(change: ReplicaChange) => void>();
  /** What comes from the store, from other tabs and from the server. */
  readonly #remote = Symbol("remote");
  /** Edits that were begun and have no update yet. */
  #open = new Set<Adopt>();
  #unsaved = new Set<Pending>();
  /** Own rows of all tabs that are not synced. */
  #mine = new Map<number, Pending | null>();
  /** All rows up to this one were read from the store; of those behind it, these are known. */
  #seen = 0;
  #known = new Set<number>();
  #fresh: Row[] = [];
  /** Updates whose ground the documents do not have. */
  #waiting: Pick<Row, "layer" | "update">[] = [];
  /** Half of an update went in, which is not stored: its vector says more than others will ever get. */
  #torn = false;
  #presence: { readonly [key: string]: Json } | null = null;
  #loading: Promise<void> | null = null;
  #closed = false;

  constructor(session: string, host: CopyHost) {
    this.session = session;
    this.#host = host;
    this.#documents = this.#make({});
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
    const before = this.#documents;
    this.#documents = this.#make(this.progress.roots);
    for (const layer of LAYERS) before[layer].destroy();
    try {
      this.#fill(rows);
    } catch (error) {
      throw new StoreError(
        `the copy on this device does not read: forget it and open it anew (${String(error)})`,
        "damaged",
      );
    }
    this.#hear();
    this.generation += 1;
    const last = rows.at(-1)?.row ?? 0;
    const mine = new Map(rows.filter((row) => row.own).map(({ row }) => [row, this.#mine.get(row) ?? null]));
    const refused = new Map(aside.map((edit) => [edit.row, edit]));
    for (const [row, pending] of this.#mine) {
      if (mine.has(row)) continue;
      if (row <= last) settle(pending, refused.get(row));
      else mine.set(row, pending);
    }
    // What was written here while it was read stands behind it.
    const behind = [...mine].flatMap(([row, own]) => (row > last && own !== null ? [own] : []));
    this.#waiting.push(...behind, ...this.#unsaved);
    this.#retry();
    this.#mine = mine;
    this.#seen = last;
    this.#known = new Set([...mine.keys()].filter((row) => row > last));
  }

  /** Take rows into empty documents. */
  #fill(rows: readonly Row[]): void {
    this.#waiting = [];
    for (const layer of LAYERS) {
      const updates = rows.filter((row) => row.layer === layer);
      this.#apply(this.#documents[layer], updates);
      if (!pending(this.#documents[layer])) continue;
      this.#documents[layer].destroy();
      this.#documents[layer] = this.#make(this.progress.roots)[layer];
      this.#waiting.push(...updates);
    }
    this.#retry();
  }

  /** Take rows that stand on something that was not there, as far as it is now. Invariant 5. */
  #retry(): void {
    let before: number;
    do {
      before = this.#waiting.length;
      this.#waiting = this.#waiting.filter(({ layer, update }) => {
        if (!grounded(this.#documents[layer], update)) return true;
        Y.applyUpdate(this.#documents[layer], update, this.#remote);
        return dropPending(this.#documents[layer]);
      });
    } while (this.#waiting.length > 0 && this.#waiting.length < before);
  }

  #apply(document: Y.Doc, rows: readonly Row[]): void {
    const all = (): void => {
      for (const { update } of rows) Y.applyUpdate(document, update, this.#remote);
    };
    Y.transact(document, all, this.#remote, false);
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
    const stored = [...this.#mine.values()].flatMap((own) => (own !== null && own.update.length > 0 ? [own] : []));
    this.#mine.clear();
    this.progress = NO_PROGRESS;
    for (const own of [...stored, ...this.#unsaved]) {
      this.#unsaved.add(own);
      this.#store(own);
    }
    await this.reload();
  }

  /** Look for rows that this tab was not told of: it slept, or whoever wrote them died. Return the new own ones. */
  async catchUp(): Promise<readonly Row[]> {
    if (this.#torn) await this.reload(); // Invariant 3.
    const { store } = this.#host;
    const rows = await store.after(this.session, this.#seen);
    const found = rows.filter((row) => !this.#known.has(row.row));
    this.absorb(found);
    this.#seen = Math.max(this.#seen, rows.at(-1)?.row ?? 0);
    for (const row of this.#known) if (row <= this.#seen) this.#known.delete(row);
    await this.#catchUpOwn();
    return found.filter((row) => row.own);
  }

  /** Look what became of own rows meanwhile. */
  async #catchUpOwn(): Promise<void> {
    const { store } = this.#host;
    const before = [...this.#mine.keys()];
    const [own, aside] = await Promise.all([store.own(this.session), store.refused(this.session)]);
    const gone = before.filter((row) => !own.has(row));
    const refused = aside.filter(({ row }) => gone.includes(row) && this.#mine.has(row));
    for (const edit of refused) {
      settle(this.#mine.get(edit.row), edit);
      this.#mine.delete(edit.row);
      this.#tell({ kind: "refused", edit });
    }
    this.syncedRows(gone);
    if (refused.length > 0) await this.reload(); // Invariant 3.
  }

  /** Take rows that are in the store. */
  absorb(rows: readonly Row[]): void {
    const fresh = rows.filter((row) => row.row > this.#seen && !this.#known.has(row.row));
    if (fresh.length === 0) return;
    let mine = false;
    for (const { row, own } of fresh) {
      this.#known.add(row);
      if (own && !this.#mine.has(row)) {
        this.#mine.set(row, null);
        mine = true;
      }
    }
    let gap = false;
    for (const layer of LAYERS) {
      const updates = fresh.filter((row) => row.layer === layer);
      if (updates.length === 0) continue;
      const document = this.#documents[layer];
      this.#apply(document, updates);
      gap = dropPending(document) || gap;
    }
    this.#retry();
    if (mine) this.#tell({ kind: "unsynced" });
    // What it stands on was not told: it is in the store, before it.
    if (gap && this.#loading === null) void this.reload().catch(() => {});
  }

  /** Rows whose content is in the documents: the leader stored what its uplink had applied. */
  knows(rows: readonly Row[]): void {
    for (const { row } of rows) if (row > this.#seen) this.#known.add(row);
  }

  /** The server said how far this copy goes. */
  moved(progress: Progress): void {
    this.progress = { ...progress, roots: this.progress.roots };
    this.#takeRoots(progress.roots);
  }

  // What the uplink asks

  vector(layer: Layer): Uint8Array {
    return Y.encodeStateVector(this.#documents[layer]);
  }

  /** Apply an update; whether it went in without a gap. */
  fits(layer: Layer, update: Uint8Array): boolean {
    const document = this.#documents[layer];
    Y.applyUpdate(document, update, this.#remote);
    this.#torn ||= dropPending(document);
    if (!this.#torn) this.#retry();
    return !this.#torn;
  }

  // What is told of it

  syncedRows(rows: readonly number[]): void {
    let moved = false;
    for (const row of rows) {
      const known = this.#mine.get(row);
      if (known === undefined) continue;
      this.#mine.delete(row);
      known?.synced.resolve();
      moved = true;
    }
    if (moved) this.#tell({ kind: "unsynced" });
  }

  /** The server refused these rows: they are in the store among the refused ones. A reload follows. */
  async refusedRows(rows: readonly number[], code: string, reason: string): Promise<void> {
    for (const row of rows) {
      settle(this.#mine.get(row), { code, reason });
      this.#mine.delete(row);
    }
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

  /** The link stands elsewhere; where it is not live, nobody is there. */
  linkStands(live: boolean): void {
    if (!live && this.#standing !== null) this.#standing = { ...this.#standing, presence: [], tabs: {} };
    this.#tell({ kind: "status" });
    if (!live) this.#tell({ kind: "presence" });
  }

  #takeRoots(roots: Readonly<Record<string, string>>): void {
    const fresh = Object.keys(roots).some((name) => this.progress.roots[name] !== roots[name]);
    if (!fresh) return;
    this.progress = { ...this.progress, roots: { ...this.progress.roots, ...roots } };
    try {
      makeRoots(this.#documents.state, roots);
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

  get unsynced(): number {
    return this.#mine.size + this.#unsaved.size;
  }

  get roots(): ReadonlyMap<string, number> {
    return new Map(Object.entries(this.progress.roots).map(([name, kind]) => [name, Number(kind)]));
  }

  document(layer: Layer): Y.Doc {
    return this.#documents[layer];
  }

  edit(layer: Layer, change: (document: Y.Doc) => void): Edit {
    if (this.#closed) throw new LocalProtocolError(`${this.session} is closed: open it again`);
    if (this.#host.store.gone !== null) throw this.#host.store.gone;
    this.#checkRight(layer);
    const document = this.#documents[layer];
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
    if (this.#standing === null) return [];
    return everyone(this.#standing, this.#host.tab);
  }

  setPresence(state: { readonly [key: string]: Json } | null): void {
    this.#presence = state;
    this.#host.presenceMoved(this);
  }

  /** What this tab shows of itself. */
  get ownPresence(): { readonly [key: string]: Json } | null {
    return this.#presence;
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
    const waits = [...this.#mine].map(([row, known]) => {
      const pending = known ?? newPending(new Uint8Array(), "state");
      this.#mine.set(row, pending); // Another tab's: waited for from here, too.
      return pending.synced.promise;
    });
    await Promise.all(waits);
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
    this.#presence = null;
    await this.saved().catch(() => {});
    if (this.users === 0) this.#host.released(this);
  }

  /** Let go of the documents. */
  destroy(): void {
    this.#closed = true;
    this.#listeners.clear();
    for (const layer of LAYERS) this.#documents[layer].destroy();
  }

  // Own edits

  #checkRight(layer: Layer): void {
    if (!mayWrite(layer, this.rights))
      throw new LocalProtocolError(`the token does not allow to write the ${layer} of ${this.session}`);
  }

  #own(layer: Layer, update: Uint8Array): void {
    const edits = [...this.#open];
    this.#open.clear();
    const tooLarge = this.#tooLarge(update);
    if (tooLarge !== null) {
      for (const edit of edits) edit.fail(tooLarge);
      void this.reload().catch(() => {}); // Invariant 3.
      return;
    }
    const own = newPending(update, layer);
    for (const edit of edits) edit.adopt(own);
    this.#unsaved.add(own);
    this.#store(own);
    this.#tell({ kind: "unsynced" });
  }

  #store(own: Pending): void {
    this.#host.store.append(this.session, own.layer, own.update).then(
      (row) => {
        this.#unsaved.delete(own);
        this.#mine.set(row, own);
        this.#known.add(row);
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

  // Documents

  #make(roots: Readonly<Record<string, string>>): Record<Layer, Y.Doc> {
    const documents = { transcript: new Y.Doc(), state: new Y.Doc() };
    for (const root of ROOTS) documents.transcript.getMap(root);
    makeRoots(documents.state, roots);
    for (const layer of LAYERS) {
      const document = documents[layer];
      document.clientID = freshClientId(); // Invariant 4.
      document.on("afterTransaction", (transaction: Y.Transaction) => {
        // While it is filled nobody is told: what is read is all new.
        if (this.#documents[layer] !== document || this.#loading !== null) return;
        const own = transaction.origin !== this.#remote;
        const touched = touches(transaction);
        if (touched.length === 0) return;
        if (layer === "transcript") this.#tell({ kind: "transcript", entries: touched, own });
        else this.#tell({ kind: "state", names: [...new Set(touched.map(([name]) => name))], own });
      });
    }
    return documents;
  }

  /** Take what is written into the documents from now on: Yjs encodes what it tells, so not while they are filled. */
  #hear(): void {
    for (const layer of LAYERS) {
      const document = this.#documents[layer];
      document.on("update", (update: Uint8Array, origin: unknown) => {
        if (origin !== this.#remote && this.#documents[layer] === document) this.#own(layer, update);
      });
    }
  }

  #tell(change: ReplicaChange): void {
    for (const listener of this.#listeners) listener(change);
  }
}

/** An own row is no longer one that waits: it was refused, or it is on the server's disk. */
function settle(own: Pending | null | undefined, refused?: { readonly code: string; readonly reason: string }): void {
  if (refused === undefined) own?.synced.resolve();
  else own?.synced.reject(new NotSynced(refused.code, refused.reason || `the server refused it: ${refused.code}`));
}

/** Of a session the leader has said nothing of yet: the link is there, and it is being opened. */
function notYet(link: Status): Status {
  return link.link === "live" ? { ...link, link: "reconnecting" } : link;
}
