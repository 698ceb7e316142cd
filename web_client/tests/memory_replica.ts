/**
 * MemoryReplica: a `Replica` without a store or a socket, for tests and for looking at screens without a server.
 *
 * It is linked to a `MemoryServer` in the same process. What it is given is saved a microtask later, and synced when it
 * is online. Knows nothing of tabs.
 */

import * as Y from "yjs";
import { LocalProtocolError, NotSynced } from "../src/core/errors.js";
import { DEFAULT_LIMITS } from "../src/core/limits.js";
import type { JsonMap, Layer, PresenceEntry, Right } from "../src/core/messages.js";
import type { Edit, RefusedEdit, Replica, ReplicaChange } from "../src/core/replica.js";
import { OFFLINE } from "../src/core/status.js";
import type { Status } from "../src/core/status.js";
import type { MemoryServer } from "./memory_server.js";

interface Pending {
  readonly layer: Layer;
  readonly update: Uint8Array;
  resolve(): void;
  reject(error: Error): void;
}

const LIVE: Status = { ...OFFLINE, link: "live" };
const ALL_RIGHTS: readonly Right[] = ["transcript", "state", "presence", "command"];
const KINDS = [Y.Array, Y.Map, Y.Text, Y.XmlElement, Y.XmlFragment, null, Y.XmlText];
let peers = 0;

export class MemoryReplica implements Replica {
  readonly session: string;
  readonly peer = `peer-${++peers}`;
  readonly presenceBytesMax = DEFAULT_LIMITS.presenceBytesMax;
  closed = false;
  /** All updates made here, in order: what a push would hold. */
  readonly made: { layer: Layer; update: Uint8Array }[] = [];
  #documents: Record<Layer, Y.Doc>;
  #pending: Pending[] = [];
  #listeners = new Set<(change: ReplicaChange) => void>();
  #refused: RefusedEdit[] = [];
  #presence: JsonMap | null = null;
  #seen = 0;
  #status: Status = OFFLINE;
  readonly #rights: ReadonlySet<Right>;
  #catching: Uint8Array[] | null = null;

  constructor(
    readonly server: MemoryServer,
    readonly subject: string,
    { rights = ALL_RIGHTS, device = "laptop" }: { rights?: readonly Right[]; device?: string } = {},
  ) {
    this.session = server.session;
    this.#rights = new Set(rights);
    this.device = device;
    this.#documents = { transcript: this.#document("transcript"), state: this.#document("state") };
  }

  readonly device: string;

  get rights(): ReadonlySet<Right> | null {
    return this.#rights;
  }

  get status(): Status {
    return this.#status;
  }

  get unsynced(): number {
    return this.#pending.length;
  }

  get online(): boolean {
    return this.status.link === "live";
  }

  get roots(): ReadonlyMap<string, number> {
    return this.server.roots;
  }

  document(layer: Layer): Y.Doc {
    return this.#documents[layer];
  }

  edit(layer: Layer, change: (document: Y.Doc) => void): Edit {
    const needed: readonly Right[] = layer === "state" ? ["state"] : ["transcript", "command"];
    if (!needed.some((right) => this.#rights.has(right))) {
      throw new LocalProtocolError(`the grant does not allow to write the ${layer}`, "forbidden");
    }
    const before = this.#pending.length;
    this.#documents[layer].transact(() => change(this.#documents[layer]), "own");
    return { saved: Promise.resolve(), synced: this.#syncedFrom(before) };
  }

  presence(): readonly PresenceEntry[] {
    return this.online ? this.server.present(this) : [];
  }

  setPresence(state: JsonMap | null): void {
    this.#presence = state;
    if (this.online) this.server.setPresence(this, state);
  }

  listen(listener: (change: ReplicaChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  saved(): Promise<void> {
    return Promise.resolve();
  }

  synced(): Promise<void> {
    return this.#syncedFrom(0);
  }

  refused(): Promise<readonly RefusedEdit[]> {
    return Promise.resolve(this.#refused);
  }

  dropRefused(): Promise<void> {
    this.#refused = [];
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.disconnect();
    this.closed = true;
    return Promise.resolve();
  }

  /** Go online: send what waits, take what came meanwhile. */
  connect(): this {
    if (this.online) return this;
    const [seen, seq] = [this.#seen, this.server.attach(this, this.#presence)];
    for (const layer of ["transcript", "state"] as const) {
      this.take(layer, this.server.diff(layer, Y.encodeStateVector(this.#documents[layer])));
    }
    this.#setStatus(LIVE);
    this.tell({ kind: "caught-up", count: seq - seen });
    this.tell({ kind: "presence" });
    this.#seen = seq;
    this.#push();
    return this;
  }

  disconnect(status: Status = OFFLINE): void {
    if (!this.online) return;
    this.server.detach(this);
    this.#setStatus(status);
    this.tell({ kind: "presence" });
  }

  /** An update of somebody's, own ones among them. */
  take(layer: Layer, update: Uint8Array): void {
    for (const [name, kind] of layer === "state" ? this.roots : []) {
      const type = KINDS[kind];
      if (type != null) this.#documents.state.get(name, type as unknown as typeof Y.Map);
    }
    Y.applyUpdate(this.#documents[layer], update, "server");
    this.#seen = this.server.seq;
  }

  tell(change: ReplicaChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #document(layer: Layer): Y.Doc {
    const document = new Y.Doc();
    document.on("update", (update: Uint8Array, _origin: unknown, _document: Y.Doc, transaction: Y.Transaction) => {
      if (transaction.local && this.#catching === null) this.#made(layer, update);
    });
    document.on("afterTransaction", (transaction: Y.Transaction) => {
      if (transaction.changed.size === 0 || this.#catching !== null) return;
      const own = transaction.local;
      if (layer === "state")
        this.tell({ kind: "state", names: [...new Set(touchedEntries(transaction).map(([root]) => root))], own });
      else this.tell({ kind: "transcript", entries: touchedEntries(transaction), own });
    });
    return document;
  }

  #made(layer: Layer, update: Uint8Array): void {
    this.made.push({ layer, update });
    if (layer === "state") this.server.learn(this.#documents.state);
    const settle = { resolve: () => {}, reject: (_error: Error) => {} };
    this.#pending.push({ layer, update, ...settle });
    queueMicrotask(() => {
      this.tell({ kind: "unsynced" });
      this.#push();
    });
  }

  #syncedFrom(first: number): Promise<void> {
    const waits = this.#pending.slice(first).map(
      (pending) =>
        new Promise<void>((resolve, reject) => {
          const before = { resolve: pending.resolve, reject: pending.reject };
          pending.resolve = () => (before.resolve(), resolve());
          pending.reject = (error) => (before.reject(error), reject(error));
        }),
    );
    const all = Promise.all(waits).then(() => {});
    all.catch(() => {}); // Neither has to be awaited.
    return all;
  }

  #push(): void {
    if (!this.online || this.#pending.length === 0) return;
    for (const pending of this.#pending.splice(0)) {
      const refusal = this.server.push(this, pending.layer, pending.update);
      if (refusal === null) pending.resolve();
      else this.#refuse(pending, refusal.code, refusal.reason);
    }
    this.tell({ kind: "unsynced" });
  }

  /** Keep an edit aside and make the documents anew without it. */
  #refuse(pending: Pending, code: string, reason: string): void {
    const edit: RefusedEdit = { layer: pending.layer, update: pending.update, code, reason, at: Date.now() };
    this.#refused.push(edit);
    this.#catching = [];
    this.#documents = { transcript: this.#document("transcript"), state: this.#document("state") };
    for (const layer of ["transcript", "state"] as const) this.take(layer, this.server.diff(layer));
    for (const { layer, update } of this.#pending) Y.applyUpdate(this.#documents[layer], update);
    this.#catching = null;
    pending.reject(new NotSynced(code, reason));
    this.tell({ kind: "reloaded" });
    this.tell({ kind: "refused", edit });
  }

  #setStatus(status: Status): void {
    this.#status = status;
    this.tell({ kind: "status" });
  }
}

/** Pairs of root and key, each once: the top-level entries in which something changed. */
function touchedEntries(transaction: Y.Transaction): [root: string, key: string][] {
  const found = new Map<string, [string, string]>();
  const names = rootNames(transaction.doc);
  for (const [type, keys] of transaction.changed) {
    let [at, key]: [Y.AbstractType<unknown>, string | null] = [type as Y.AbstractType<unknown>, null];
    for (; at._item !== null; at = at._item.parent as Y.AbstractType<unknown>) key = at._item.parentSub;
    const root = names.get(at);
    if (root === undefined) continue;
    for (const entry of at === type ? keys : [key]) found.set(`${root} ${entry}`, [root, entry ?? ""]);
  }
  return [...found.values()];
}

function rootNames(document: Y.Doc): Map<unknown, string> {
  return new Map(Array.from(document.share, ([name, type]) => [type, name]));
}
