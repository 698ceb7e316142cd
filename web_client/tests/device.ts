/**
 * Device: one device's store, its tabs, and the uplink of the leading tab, without I/O. The rows that are stored are
 * what the device knows; each tab hears of them when it is told to.
 */

import * as Y from "yjs";
import { decodeServer } from "../src/core/codec.js";
import { DEFAULT_LIMITS } from "../src/core/limits.js";
import { LAYERS, type Layer } from "../src/core/messages.js";
import { readUpdate, stands, type Facts } from "../src/core/updates.js";
import { Uplink, type Copy, type UplinkEvent, type Write } from "../src/core/uplink.js";
import { NO_PROGRESS } from "../src/core/progress.js";
import { encode } from "./other_side.js";
import { documents, SESSION } from "./fake_server.js";
import type { Random } from "./random.js";

export interface Row {
  readonly row: number;
  readonly layer: Layer;
  readonly update: Uint8Array;
  readonly facts: Facts;
  readonly own: boolean;
  synced: boolean;
  refused: string;
}

export class Tab {
  docs = documents();
  /** The last row that it heard of. */
  heard = 0;
  /** It was told to read everything anew, and has not done so. */
  stale = false;

  constructor(
    private readonly device: Device,
    private readonly random: Random,
  ) {
    this.rebuild();
  }

  get clientIds(): number[] {
    return LAYERS.map((layer) => this.docs[layer].clientID);
  }

  /** Make the documents anew from the store, under client ids that nobody used. */
  rebuild(): void {
    this.docs = documents();
    for (const layer of LAYERS) this.docs[layer].clientID = this.random.clientId();
    this.heard = 0;
    this.stale = false;
    this.hear();
  }

  /** Take the rows that were stored since. What does not stand is not applied: the server may bring what it needs. */
  hear(): void {
    for (const row of this.device.rows.values()) {
      if (row.row > this.heard && row.refused === "") this.apply(row.layer, row.update);
    }
    this.heard = this.device.rows.size;
  }

  apply(layer: Layer, update: Uint8Array): boolean {
    const { store } = this.docs[layer];
    if (!stands(readUpdate(update), (client) => Y.getState(store, client))) return false;
    Y.applyUpdate(this.docs[layer], update, "heard");
    return true;
  }

  /** Write, and store what came of it; whether anything did. */
  write(layer: Layer, change: (document: Y.Doc) => void): Row | null {
    const document = this.docs[layer];
    const updates: Uint8Array[] = [];
    const note = (update: Uint8Array): number => updates.push(update);
    document.on("update", note);
    document.transact(() => change(document), "own");
    document.off("update", note);
    return updates.length > 0 ? this.device.store(layer, Y.mergeUpdates(updates), true) : null;
  }
}

export class Device {
  readonly rows = new Map<number, Row>();
  readonly tabs: Tab[] = [];
  readonly events: UplinkEvent[] = [];
  progress = NO_PROGRESS;
  /** Called with each row that is said to be synced. */
  onSynced: (row: Row) => void = () => {};
  uplink: Uplink;

  constructor(
    readonly name: string,
    private readonly random: Random,
    tabs = 1,
  ) {
    for (let count = 0; count < tabs; count++) this.tabs.push(new Tab(this, random));
    this.uplink = this.#lead();
  }

  get leader(): Tab {
    return this.tabs[0]!;
  }

  /** The leading tab dies; the next one reads the store and leads. */
  crash(): void {
    this.tabs.shift();
    this.tabs.push(new Tab(this, this.random));
    this.leader.hear();
    this.uplink = this.#lead();
  }

  #lead(): Uplink {
    const copy: Copy = {
      vector: (layer) => Y.encodeStateVector(this.leader.docs[layer]),
      fits: (layer, update) => this.leader.apply(layer, update),
    };
    const uplink = new Uplink(SESSION, DEFAULT_LIMITS, this.progress, copy, { ackTimeoutMs: 1_000 });
    for (const row of this.waiting()) uplink.take(row);
    return uplink;
  }

  /** Own rows that are neither synced nor refused. */
  waiting(): Row[] {
    return [...this.rows.values()].filter((row) => row.own && !row.synced && row.refused === "");
  }

  store(layer: Layer, update: Uint8Array, own: boolean): Row {
    const row = this.rows.size + 1;
    const stored: Row = { row, layer, update, facts: readUpdate(update), own, synced: false, refused: "" };
    this.rows.set(row, stored);
    return stored;
  }

  /** Have the leading tab hear of what the others stored. */
  listen(): void {
    this.leader.hear();
    for (const row of this.waiting()) this.uplink.take(row);
  }

  connect(): void {
    this.listen();
    this.uplink.connect(this.tabs.flatMap((tab) => tab.clientIds));
  }

  /** Take a frame; then store what came of it, and tell. */
  receive(data: Uint8Array): UplinkEvent[] {
    this.uplink.receive(decodeServer(data));
    return this.turn();
  }

  turn(): UplinkEvent[] {
    const { writes, events } = this.uplink.ready();
    for (const write of writes) this.#write(write);
    for (const event of events) {
      if (event.kind === "synced") for (const row of event.rows) this.onSynced(this.rows.get(row)!);
      if (event.kind === "reload") for (const tab of this.tabs) tab.stale = true;
    }
    this.events.push(...events);
    return events;
  }

  #write(write: Write): void {
    if (write.kind === "remote") this.store(write.layer, write.update, false);
    else if (write.kind === "progress") this.progress = write.progress;
    else {
      for (const number of write.rows) {
        const row = this.rows.get(number)!;
        if (write.kind === "synced") row.synced = true;
        else row.refused = write.code;
      }
    }
  }

  outgoing(): Uint8Array[] {
    return this.uplink.outgoing().map((frame) => encode(frame));
  }
}
