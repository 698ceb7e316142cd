/**
 * Fake server: a small strict one for one session. It judges what is pushed as the protocol says, keeps what it
 * committed apart from what it only heard, and throws where a client does what no correct one does.
 *
 * Who may write what is not its matter: an entry whose key begins with `bad` is refused, and that is all.
 */

import * as Y from "yjs";
import { DEFAULT_LIMITS } from "../src/core/limits.js";
import { LAYERS, type Layer, type Open, type Push, type Right, type ServerMessage } from "../src/core/messages.js";
import { readUpdate, stands } from "../src/core/updates.js";
import { decodeClient, encode } from "./other_side.js";

type Send = (frame: Uint8Array) => void;
type Documents = Record<Layer, Y.Doc>;

interface Peer {
  readonly name: string;
  readonly send: Send;
  open: boolean;
  number: number;
  rejected: boolean;
}

interface Accepted {
  readonly peer: Peer;
  readonly push: Push;
}

export const SESSION = "s";

export function documents(): Documents {
  return { transcript: new Y.Doc(), state: new Y.Doc() };
}

/** Keys of entries that begin in an update, in the order of its bytes, as `root/key`. */
export function entriesOf(update: Uint8Array): string[] {
  return Y.decodeUpdate(update).structs.flatMap((struct) => {
    if (!(struct instanceof Y.Item) || struct.parentSub === null) return [];
    const parent: unknown = struct.parent;
    return typeof parent === "string" ? [`${parent}/${struct.parentSub}`] : [];
  });
}

export class FakeServer {
  /** What is on the disk. */
  disk = documents();
  incarnation = "inc";
  version = 0;
  seq = 0;
  rights: Right[] = ["transcript", "state", "presence", "command"];
  /** Entries in the order in which they got their receipts. */
  readonly receipts: string[] = [];
  /** Every push that was judged. */
  readonly pushes: Push[] = [];
  #full = false;
  #heard = documents();
  #accepted: Accepted[] = [];
  #peers = new Map<string, Peer>();

  get full(): boolean {
    return this.#full;
  }

  connect(name: string, send: Send): void {
    this.#peers.set(name, { name, send, open: false, number: 0, rejected: false });
  }

  disconnect(name: string): void {
    const peer = this.#peers.get(name);
    this.#peers.delete(name);
    if (peer?.open) this.#tell({ kind: "PresenceChanged", session: SESSION, entries: [entry(name, null)] });
  }

  /** The process dies: what was not committed is gone, and so are all links. */
  crash(): void {
    this.#accepted = [];
    this.#heard = copied(this.disk);
    this.#peers.clear();
  }

  setFull(full: boolean): void {
    this.#full = full;
    for (const peer of this.#peers.values()) this.#send(peer, { kind: "Storage", full });
  }

  receive(name: string, data: Uint8Array): void {
    const peer = this.#peers.get(name);
    if (!peer) return;
    const frame = decodeClient(data, DEFAULT_LIMITS);
    if (frame.kind === "Open") this.#opened(peer, frame);
    else if (frame.kind === "Leave") this.#close(peer, 1000, "");
    else if (!peer.open) return;
    else if (frame.kind === "Push") this.#push(peer, frame);
    else if (frame.kind === "SetPresence") {
      this.#tell({ kind: "PresenceChanged", session: SESSION, entries: [entry(name, frame.state ?? {})] });
    } else if (frame.kind !== "Declare") throw new Error(`a client sent ${frame.kind}`);
  }

  #opened(peer: Peer, open: Open): void {
    if (peer.open) throw new Error("opened while open on this link");
    const other = open.incarnation !== "" && open.incarnation !== this.incarnation;
    if (other || open.version > this.version || open.seen > this.seq) {
      this.#close(peer, 4413, "another session");
      return;
    }
    Object.assign(peer, { open: true, number: 0, rejected: false });
    const updates: { [L in Layer]?: Uint8Array } = {};
    for (const layer of LAYERS) {
      const update = Y.encodeStateAsUpdate(this.disk[layer], open.vectors[layer]);
      if (update.length > 2) updates[layer] = update;
    }
    this.#send(peer, {
      kind: "Opened",
      session: SESSION,
      incarnation: this.incarnation,
      version: this.version,
      seq: this.seq,
      caughtUp: this.seq - open.seen,
      rights: this.rights,
      updates,
      vectors: {
        transcript: Y.encodeStateVector(this.disk.transcript),
        state: Y.encodeStateVector(this.disk.state),
      },
      roots: this.disk.state.share.has("ui") ? { ui: "1" } : {},
      presence: [entry(peer.name, {})],
      storageFull: this.#full,
    });
  }

  #push(peer: Peer, push: Push): void {
    if (push.number !== ++peer.number) {
      this.#close(peer, 4002, `push ${push.number} is not ${peer.number}`);
      return;
    }
    if (this.#full) {
      this.#close(peer, 4005, "full");
      return;
    }
    this.pushes.push(push);
    const facts = readUpdate(push.update);
    if (facts.hole || push.update.length > DEFAULT_LIMITS.frameBytesMax || facts.structs > 5_000) {
      throw new Error("bytes that no correct client sends");
    }
    const heard = this.#heard[push.layer];
    if (!stands(facts, (client) => Y.getState(heard.store, client))) {
      if (peer.rejected) this.#reject(peer, push, "depends_on_refused");
      else this.#close(peer, 4002, "gap");
    } else if (entriesOf(push.update).some((key) => key.includes("/bad"))) {
      this.#reject(peer, push, "foreign_entry");
    } else {
      Y.applyUpdate(heard, push.update);
      this.#accepted.push({ peer, push });
    }
  }

  #reject(peer: Peer, push: Push, code: string): void {
    peer.rejected = true;
    this.#send(peer, { kind: "Reject", session: SESSION, number: push.number, code, reason: "no" });
  }

  /** Put on the disk what was heard, then tell of it. */
  commit(): void {
    const batch = this.#accepted.splice(0);
    for (const { peer, push } of batch) {
      Y.applyUpdate(this.disk[push.layer], push.update);
      this.version++;
      for (const other of this.#peers.values()) {
        if (other !== peer) this.#update(other, push.layer, push.update);
      }
      const begun = entriesOf(push.update).filter((key) => /^(messages|commands)\//.test(key));
      if (push.layer === "transcript" && begun.length > 0) this.#receipt(begun);
    }
    for (const peer of this.#peers.values()) {
      if (peer.open && peer.number > 0) this.#send(peer, { kind: "Ack", session: SESSION, number: peer.number });
    }
  }

  #receipt(begun: readonly string[]): void {
    this.write("transcript", (document) => {
      for (const key of begun) {
        const receipt = key.replace(/^(.)[a-z]+\//, "$1:");
        if (document.getMap("receipts").has(receipt)) continue;
        this.receipts.push(key);
        document.getMap("receipts").set(receipt, { seq: ++this.seq, by: "user:x", at: 1 });
      }
    });
  }

  /** Write as somebody else does: at once on the disk, and told to all. */
  write(layer: Layer, change: (document: Y.Doc) => void): void {
    const document = this.disk[layer];
    const before = Y.encodeStateVector(document);
    document.transact(() => change(document));
    const update = Y.encodeStateAsUpdate(document, before);
    Y.applyUpdate(this.#heard[layer], update);
    this.version++;
    for (const peer of this.#peers.values()) this.#update(peer, layer, update);
  }

  #update(peer: Peer, layer: Layer, update: Uint8Array): void {
    if (peer.open) this.#send(peer, { kind: "Update", session: SESSION, layer, update });
  }

  #close(peer: Peer, code: number, reason: string): void {
    peer.open = false;
    this.#send(peer, { kind: "Closed", session: SESSION, code, reason });
  }

  #tell(message: Exclude<ServerMessage, { kind: "Unknown" }>): void {
    for (const peer of this.#peers.values()) if (peer.open) this.#send(peer, message);
  }

  #send(peer: Peer, message: Exclude<ServerMessage, { kind: "Unknown" }>): void {
    peer.send(encode(message));
  }
}

function entry(
  peer: string,
  state: import("../src/core/messages.js").Json,
): import("../src/core/messages.js").PresenceEntry {
  return { peer, subject: `user:${peer}`, name: peer, kind: "user", device: "d", state };
}

function copied(from: Documents): Documents {
  const to = documents();
  for (const layer of LAYERS) Y.applyUpdate(to[layer], Y.encodeStateAsUpdate(from[layer]));
  return to;
}
