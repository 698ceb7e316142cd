import { deepStrictEqual, strictEqual } from "node:assert";
import { test } from "vitest";
import * as Y from "yjs";
import { LAYERS, type Layer } from "../src/core/messages.js";
import { isHeld, type Facts } from "../src/core/updates.js";
import { Device, type Row, type Tab } from "./device.js";
import { entriesOf, FakeServer } from "./fake_server.js";
import { Random } from "./random.js";

/** A device and a server with a wire between them on which anything may get lost, and time that stands still. */
class World {
  readonly server = new FakeServer();
  readonly random: Random;
  readonly device: Device;
  #up: Uint8Array[] = [];
  #down: Uint8Array[] = [];
  #connected = false;
  #now = 0;
  #named = 0;

  constructor(
    seed: number,
    private readonly badShare: number,
  ) {
    this.random = new Random(seed);
    this.device = new Device("ann", this.random, 3);
    this.device.onSynced = (row) => this.#isOnDisk(row);
  }

  #isOnDisk(row: Row): void {
    if (row.facts.ends.size === 0) return;
    const { store } = this.server.disk[row.layer];
    strictEqual(
      isHeld(row.facts, (client) => Y.getState(store, client)),
      true,
      `row ${row.row} is called synced`,
    );
  }

  step(): void {
    const { random, device } = this;
    const acts: [number, () => void][] = [
      [22, () => this.#write(random.pick(device.tabs))],
      [4, () => random.pick(device.tabs).hear()],
      [3, () => device.listen()],
      [3, () => this.#rebuild(random.pick(device.tabs))],
      [8, () => this.#send()],
      [8, () => this.#deliverUp(1 + random.below(4))],
      [8, () => this.#deliverDown(1 + random.below(4))],
      [4, () => this.server.commit()],
      [2, () => this.#otherWrites()],
      [2, () => this.#connect()],
      [1, () => this.#reopen()],
      [0.7, () => this.#cut()],
      [0.5, () => this.#lose()],
      [0.3, () => this.#crashServer()],
      [0.3, () => this.#crashTab()],
      [0.5, () => this.server.setFull(!this.server.full)],
      [0.3, () => this.#wait()],
    ];
    let left = random.next() * acts.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, act] of acts) {
      left -= weight;
      if (left < 0) return act();
    }
  }

  /** All goes well from now on: everything that can arrive does. */
  heal(): void {
    this.server.setFull(false);
    for (let round = 0; round < 60; round++) {
      for (const tab of this.device.tabs) this.#rebuild(tab);
      this.device.listen();
      // An update that got lost shows with the next one, or here.
      if (round === 40) this.#cut();
      this.#connect();
      this.#reopen();
      this.#send();
      this.#deliverUp(Infinity);
      this.server.commit();
      this.#deliverDown(Infinity);
      // Whatever the wire lost shows when nobody answers.
      if (round % 10 === 9) this.#wait();
    }
    for (const tab of this.device.tabs) tab.hear();
  }

  check(): void {
    const { rows, tabs } = this.device;
    const refused = this.#toBeRefused();
    for (const row of rows.values()) {
      if (!row.own) continue;
      const is = row.refused !== "" ? "refused" : row.synced ? "synced" : "waiting";
      strictEqual(is, refused.has(row) ? "refused" : "synced", `row ${row.row} (${row.refused})`);
    }
    for (const layer of LAYERS) {
      const there = plain(this.server.disk[layer]);
      for (const tab of tabs) deepStrictEqual(plain(tab.docs[layer]), there, `a tab's ${layer}`);
    }
    strictEqual(new Set(this.server.receipts).size, this.server.receipts.length, "one receipt for each");
    strictEqual(this.device.progress.seq, this.server.seq);
    this.#checkOrder();
  }

  /** Entries that share a push stand in it as they were stored: receipts follow that. */
  #checkOrder(): void {
    const stored = [...this.device.rows.values()].filter((row) => row.own).flatMap((row) => entriesOf(row.update));
    for (const push of this.server.pushes) {
      if (push.layer !== "transcript") continue;
      const pushed = entriesOf(push.update);
      deepStrictEqual(
        pushed,
        stored.filter((key) => pushed.includes(key)),
        `push ${push.number}`,
      );
    }
  }

  /** The rows that are bad, and those that build on them. */
  #toBeRefused(): Set<Row> {
    const lost: Record<Layer, Map<number, number>> = { transcript: new Map(), state: new Map() };
    const builds = (facts: Facts, on: Map<number, number>): boolean =>
      [...facts.needs].some(([client, clock]) => clock > (on.get(client) ?? Infinity));
    const refused = new Set<Row>();
    for (const row of this.device.rows.values()) {
      const bad = entriesOf(row.update).some((key) => key.includes("/bad"));
      if (!row.own || !(bad || builds(row.facts, lost[row.layer]))) continue;
      refused.add(row);
      for (const [client, clock] of row.facts.begins) {
        lost[row.layer].set(client, Math.min(clock, lost[row.layer].get(client) ?? Infinity));
      }
    }
    return refused;
  }

  #write(tab: Tab): void {
    const { random } = this;
    const name = `${random.chance(this.badShare) ? "bad" : "k"}-${++this.#named}`;
    const dice = random.next();
    if (dice < 0.4) {
      tab.write("transcript", (doc) => doc.getMap("messages").set(name, new Y.Map([["role", "user"]])));
    } else if (dice < 0.6) {
      tab.write("transcript", (doc) => {
        const messages = [...doc.getMap<Y.Map<unknown>>("messages").values()];
        if (messages.length > 0) random.pick(messages).set("edited", this.#named);
      });
    } else if (dice < 0.7) {
      tab.write("state", (doc) => {
        const ui = doc.getMap("ui");
        const keys = [...ui.keys()];
        if (keys.length > 0) ui.delete(random.pick(keys));
      });
    } else {
      tab.write("state", (doc) => doc.getMap("ui").set(random.chance(0.5) ? `common-${random.below(3)}` : name, name));
    }
  }

  #otherWrites(): void {
    const key = `common-${this.random.below(3)}`;
    if (this.random.chance(0.5)) this.server.write("state", (doc) => doc.getMap("ui").set(key, ++this.#named));
    else this.server.write("transcript", (doc) => doc.getMap("messages").set(`other-${++this.#named}`, new Y.Map()));
  }

  #rebuild(tab: Tab): void {
    if (!tab.stale) return;
    tab.rebuild();
    this.device.uplink.declare(tab.clientIds);
  }

  #connect(): void {
    if (this.#connected) return;
    this.#connected = true;
    this.server.connect("ann", (frame) => this.#down.push(frame));
    this.device.connect();
  }

  /** The session was shut on a link that stands. */
  #reopen(): void {
    if (this.#connected && this.device.uplink.state === "closed") this.device.connect();
  }

  #send(): void {
    if (this.#connected) this.#up.push(...this.device.outgoing());
  }

  #deliverUp(count: number): void {
    for (const frame of this.#up.splice(0, count)) this.server.receive("ann", frame);
  }

  #deliverDown(count: number): void {
    for (const frame of this.#down.splice(0, count)) this.device.receive(frame);
  }

  #cut(): void {
    if (!this.#connected) return;
    this.#connected = false;
    this.#up = [];
    this.#down = [];
    this.server.disconnect("ann");
    this.device.uplink.disconnect();
    this.device.turn();
  }

  /** One frame gets lost, which no WebSocket does: whatever an intermediary or a bug may do shows as that. */
  #lose(): void {
    for (const [frames, kinds] of [
      [this.#up, [3, 8]],
      [this.#down, [67, 69, 70]],
    ] as const) {
      const at = frames.findIndex((frame) => kinds.some((kind) => kind === frame[1]));
      if (at >= 0) frames.splice(at, 1);
    }
  }

  #crashServer(): void {
    this.server.crash();
    this.#cut();
  }

  #crashTab(): void {
    this.#cut();
    this.device.crash();
  }

  #wait(): void {
    this.device.uplink.tick(this.#now);
    this.#now += 1_001;
    this.device.uplink.tick(this.#now);
    this.device.turn();
  }
}

function plain(document: Y.Doc): unknown {
  const roots = ["messages", "receipts", "ui"].map((name) => [name, document.getMap(name).toJSON()]);
  return Object.fromEntries(roots);
}

const SEEDS = Number(process.env["SEEDS"] ?? 12);

test.each([
  ["with some edits refused", 0.08],
  ["with none refused", 0],
])(
  "whatever gets lost, cut or crashed, each edit is on the server once or set aside, and all copies agree: %s",
  (_, share) => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const world = new World(seed, share);
      try {
        for (let step = 0; step < 300; step++) world.step();
        world.heal();
        world.check();
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
  },
  60_000,
);
