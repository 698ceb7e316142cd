import { deepStrictEqual } from "node:assert";
import { describe, expect, test, vi } from "vitest";
import * as Y from "yjs";
import { decodeServer } from "../src/core/codec.js";
import { DEFAULT_LIMITS } from "../src/core/limits.js";
import type { ClientMessage, Opened, PresenceEntry, Push, ServerMessage } from "../src/core/messages.js";
import { NO_PROGRESS, type Progress } from "../src/core/progress.js";
import { EMPTY_UPDATE, merge, readUpdate, stands } from "../src/core/updates.js";
import { Uplink, type Copy, type UplinkEvent, type Write } from "../src/core/uplink.js";
import { decodeClient, encode } from "./other_side.js";
import { documents, entriesOf } from "./fake_server.js";
import { deletions, Pen, row } from "./pen.js";
import { fromHex, load, toHex } from "./vectors.js";

vi.setConfig({ testTimeout: 30_000 });

/** An uplink with documents of its own, and everything that it gave out. */
class Bench {
  readonly docs = documents();
  readonly writes: Write[] = [];
  readonly events: UplinkEvent[] = [];
  readonly limits = { ...DEFAULT_LIMITS };
  readonly uplink: Uplink;

  constructor(progress: Progress = NO_PROGRESS) {
    const copy: Copy = {
      vector: (layer) => Y.encodeStateVector(this.docs[layer]),
      fits: (layer, update) => {
        const document = this.docs[layer];
        if (!stands(readUpdate(update), (client) => Y.getState(document.store, client))) return false;
        Y.applyUpdate(document, update);
        return true;
      },
    };
    this.uplink = new Uplink("s", this.limits, progress, copy, { ackTimeoutMs: 1_000 });
  }

  /** Take a frame and what came of it; return the frames to send. */
  receive(...frames: ServerMessage[]): ClientMessage[] {
    for (const frame of frames) this.uplink.receive(frame);
    return this.turn();
  }

  turn(): ClientMessage[] {
    const { writes, events } = this.uplink.ready();
    this.writes.push(...writes);
    this.events.push(...events);
    return this.uplink.outgoing();
  }

  /** Open the session; return the frames that follow the open. */
  open(answer: Partial<Opened> = {}, clientIds: readonly number[] = []): ClientMessage[] {
    this.uplink.connect(clientIds);
    this.uplink.outgoing();
    return this.receive(opened(answer));
  }

  of<K extends UplinkEvent["kind"]>(kind: K): Extract<UplinkEvent, { kind: K }>[] {
    return this.events.filter((event): event is Extract<UplinkEvent, { kind: K }> => event.kind === kind);
  }

  /** Rows that were set aside, with their codes. */
  get refused(): [row: number, code: string][] {
    const writes = this.writes.filter((write) => write.kind === "refused");
    return writes.flatMap(({ rows, code }) => rows.map((each): [number, string] => [each, code]));
  }

  get synced(): number[] {
    return this.writes.flatMap((write) => (write.kind === "synced" ? write.rows : []));
  }
}

function opened(answer: Partial<Opened> = {}): Opened {
  return {
    kind: "Opened",
    session: "s",
    incarnation: "inc",
    version: 5,
    seq: 3,
    caughtUp: 2,
    rights: ["transcript", "state", "presence", "command"],
    updates: {},
    vectors: { transcript: Uint8Array.of(0), state: Uint8Array.of(0) },
    roots: { ui: "1" },
    presence: [],
    storageFull: false,
    ...answer,
  };
}

const ack = (number: number): ServerMessage => ({ kind: "Ack", session: "s", number });
const reject = (number: number, code = "foreign_entry"): ServerMessage => ({
  kind: "Reject",
  session: "s",
  number,
  code,
  reason: "no",
});
const update = (data: Uint8Array, layer: "transcript" | "state" = "transcript"): ServerMessage => ({
  kind: "Update",
  session: "s",
  layer,
  update: data,
});
const entry = (peer: string, state: PresenceEntry["state"]): PresenceEntry => ({
  peer,
  subject: `user:${peer}`,
  name: peer,
  kind: "user",
  device: "d",
  state,
});
const kinds = (frames: ClientMessage[]): string[] => frames.map((frame) => frame.kind);
const pushed = (frames: ClientMessage[]): Push[] => frames.filter((frame) => frame.kind === "Push");

describe("opening", () => {
  test("an open says what the copy is of, what it holds, and who writes, own rows included", () => {
    const bench = new Bench({ incarnation: "inc", version: 4, seq: 2, roots: {} });
    const pen = new Pen(7);
    bench.uplink.take(pen.message("a"));
    Y.applyUpdate(bench.docs.transcript, Y.encodeStateAsUpdate(pen.document));
    bench.uplink.connect([9, 7]);
    expect(bench.uplink.state).toBe("opening");
    const [open, ...more] = bench.turn();
    expect(more).toEqual([]);
    expect(open).toEqual({
      kind: "Open",
      session: "s",
      vectors: { transcript: Y.encodeStateVector(pen.document), state: Uint8Array.of(0) },
      clientIds: [9, 7],
      incarnation: "inc",
      version: 4,
      seen: 2,
    });
  });

  test("an open names at most 256 client ids, those that write now first", () => {
    const bench = new Bench();
    for (let id = 1; id <= 300; id++) bench.uplink.take(new Pen(id).message(`m${id}`));
    bench.uplink.connect([1_000]);
    const [open] = bench.turn();
    if (open?.kind !== "Open") throw new Error("no open");
    expect(open.clientIds).toHaveLength(256);
    expect(open.clientIds[0]).toBe(1_000);
  });

  test("nothing is pushed before the session is open", () => {
    const bench = new Bench();
    bench.uplink.connect([]);
    bench.uplink.take(new Pen(7).message("a"));
    expect(kinds(bench.turn())).toEqual(["Open"]);
    expect(kinds(bench.turn())).toEqual([]);
    expect(kinds(bench.receive(opened()))).toEqual(["Push"]);
  });

  test("what was opened is applied, stored with its progress, and told", () => {
    const bench = new Bench();
    const data = new Pen(3).message("theirs").update;
    bench.open({ updates: { transcript: data }, presence: [entry("p", {})], rights: ["state"] });
    const progress = { incarnation: "inc", version: 5, seq: 3, roots: { ui: "1" } };
    expect(bench.writes).toEqual([
      { kind: "remote", layer: "transcript", update: data },
      { kind: "progress", progress },
    ]);
    expect(bench.uplink.progress).toEqual(progress);
    expect(bench.events).toEqual([
      { kind: "rights", rights: new Set(["state"]) },
      { kind: "presence", entries: [entry("p", {})] },
      { kind: "caught-up", count: 2 },
    ]);
    expect(bench.docs.transcript.getMap("messages").size).toBe(1);
    expect(bench.uplink.state).toBe("open");
  });

  test("rights are told when they are others", () => {
    const bench = new Bench();
    bench.open({ rights: ["state", "command"] });
    bench.open({ rights: ["command", "state"] });
    expect(bench.of("rights")).toHaveLength(1);
    bench.open({ rights: ["command", "transcript"] });
    expect(bench.of("rights")).toHaveLength(2);
    expect(bench.uplink.rights).toEqual(new Set(["command", "transcript"]));
  });

  test("own rows that the server holds are synced without a push, the others are pushed as they were stored", () => {
    const bench = new Bench();
    const pen = new Pen(7);
    const [held, other] = [pen.message("a"), pen.message("b")];
    bench.uplink.take(held);
    bench.uplink.take(other);
    const vector = Y.encodeStateVectorFromUpdate(held.update);
    const [push, ...more] = pushed(bench.open({ vectors: { transcript: vector } }));
    expect(more).toEqual([]);
    expect(push).toEqual({ kind: "Push", session: "s", layer: "transcript", number: 1, update: other.update });
    expect(bench.synced).toEqual([held.row]);
    expect(bench.uplink.unsynced).toBe(1);
  });

  test.each<[string, Partial<Opened>]>([
    ["another incarnation", { incarnation: "other" }],
    ["an older version", { version: 3 }],
    ["an older seq", { seq: 1 }],
  ])("a session of %s is not merged: it is shut as replaced, and nothing is pushed", (_, answer) => {
    const bench = new Bench({ incarnation: "inc", version: 4, seq: 2, roots: {} });
    bench.uplink.take(new Pen(7).message("a"));
    const frames = bench.open({ updates: { transcript: new Pen(3).message("x").update }, ...answer });
    expect(frames).toEqual([]);
    expect(bench.writes).toEqual([]);
    expect(bench.of("shut").map((event) => event.code)).toEqual([4413]);
    expect(bench.uplink.unsynced).toBe(1);
  });

  test("frames of the open before are passed over until the answer comes", () => {
    const bench = new Bench();
    bench.open();
    bench.uplink.connect([]);
    const stale = new Pen(3);
    stale.append("lost");
    bench.receive(
      update(stale.append("does not fit").update, "state"),
      { kind: "PresenceChanged", session: "s", entries: [entry("gone", 1)] },
      ack(1),
      reject(1),
    );
    expect(bench.uplink.state).toBe("opening");
    expect(bench.uplink.presence.size).toBe(0);
  });

  test("an answer that comes unasked opens nothing, and a second one brings what came between", () => {
    const bench = new Bench();
    bench.receive(opened());
    expect(bench.uplink.state).toBe("closed");
    bench.open();
    const data = new Pen(3).message("x").update;
    bench.receive(opened({ updates: { transcript: data } }));
    expect(bench.docs.transcript.getMap("messages").size).toBe(1);
    expect(bench.of("caught-up")).toHaveLength(1);
  });

  test("a session that was shut is left before it is opened again on the same link, but not on a new one", () => {
    const bench = new Bench();
    bench.open();
    bench.receive({ kind: "Closed", session: "s", code: 4002, reason: "gap" });
    bench.uplink.connect([]);
    expect(kinds(bench.turn())).toEqual(["Leave", "Open"]);
    bench.receive({ kind: "Closed", session: "s", code: 1000, reason: "" });
    expect(bench.uplink.state).toBe("opening");
    bench.uplink.disconnect();
    bench.uplink.connect([]);
    expect(kinds(bench.turn())).toEqual(["Open"]);
  });
});

describe("pushing", () => {
  test("a row is synced by the ack of its push, not before", () => {
    const bench = new Bench();
    bench.open();
    const [a, b] = [new Pen(7).message("a"), new Pen(8).message("b")];
    bench.uplink.take(a);
    bench.uplink.take(b);
    bench.uplink.take(a);
    expect(pushed(bench.turn()).map((push) => push.number)).toEqual([1, 2]);
    expect(bench.synced).toEqual([]);
    bench.receive(ack(1));
    expect(bench.synced).toEqual([a.row]);
    bench.receive(ack(2));
    expect(bench.of("synced").map((event) => event.rows)).toEqual([[a.row], [b.row]]);
    expect(bench.uplink.unsynced).toBe(0);
  });

  test("what was not acked when the link went is pushed again, counted from 1", () => {
    const bench = new Bench();
    bench.open();
    const a = new Pen(7).message("a");
    bench.uplink.take(a);
    const before = pushed(bench.turn());
    bench.uplink.disconnect();
    bench.receive(ack(1));
    expect(bench.synced).toEqual([]);
    expect(pushed(bench.open())).toEqual(before);
  });

  test("both layers share one count", () => {
    const bench = new Bench();
    bench.open();
    const pen = new Pen(7);
    bench.uplink.take(pen.append("x"));
    bench.uplink.take(new Pen(8).message("a"));
    expect(pushed(bench.turn()).map((push) => [push.layer, push.number])).toEqual([
      ["transcript", 1],
      ["state", 2],
    ]);
  });

  test("while the server's storage is full nothing is pushed and nothing timed, and then it goes on", () => {
    const bench = new Bench();
    bench.open({ storageFull: true });
    expect(bench.uplink.storageFull).toBe(true);
    bench.uplink.take(new Pen(7).message("a"));
    expect(bench.turn()).toEqual([]);
    expect(pushed(bench.receive({ kind: "Storage", full: false }))).toHaveLength(1);
    bench.uplink.tick(0);
    bench.receive({ kind: "Storage", full: true });
    bench.uplink.tick(5_000);
    bench.receive({ kind: "Storage", full: false });
    bench.uplink.tick(5_001);
    bench.turn();
    expect(bench.of("shut")).toEqual([]);
    expect(bench.of("storage").map((event) => event.full)).toEqual([true, false, true, false]);
  });

  test("a push that is not answered in time shuts the session", () => {
    const bench = new Bench();
    bench.open();
    bench.uplink.take(new Pen(7).message("a"));
    bench.turn();
    bench.uplink.tick(10);
    bench.uplink.tick(1_010);
    expect(bench.uplink.state).toBe("open");
    bench.uplink.tick(1_011);
    bench.turn();
    expect(bench.of("shut").map((event) => event.code)).toEqual([4002]);
    expect(bench.uplink.unsynced).toBe(1);
  });
});

describe("refusals", () => {
  test("of a merge that was rejected the bad row and what builds on it are set aside, the others are synced", () => {
    const bench = new Bench();
    bench.open();
    const [pen, other] = [new Pen(7), new Pen(8)];
    const rows = [pen.append("good"), other.append("bad"), pen.append("!"), other.append("builds on it")];
    for (const each of rows) bench.uplink.take(each);
    expect(pushed(bench.turn())).toHaveLength(1);
    const alone = pushed(bench.receive(reject(1)));
    expect(alone.map((push) => toHex(push.update))).toEqual(rows.map((each) => toHex(each.update)));
    bench.receive(ack(2), reject(3, "wrong_content"), reject(5, "depends_on_refused"), ack(5));
    expect(bench.refused).toEqual([
      [rows[1]!.row, "wrong_content"],
      [rows[3]!.row, "depends_on_refused"],
    ]);
    expect(bench.synced).toEqual([rows[0]!.row, rows[2]!.row]);
    expect(bench.uplink.unsynced).toBe(0);
    expect(bench.of("reload")).toHaveLength(1);
  });

  test("what a tab writes on a refused row before it hears of that is set aside as well", () => {
    const bench = new Bench();
    bench.open();
    const pen = new Pen(7);
    bench.uplink.take(pen.append("bad"));
    bench.turn();
    bench.receive(reject(1));
    bench.receive(reject(2));
    const later = pen.append("more");
    bench.uplink.take(later);
    expect(bench.turn()).toEqual([]);
    expect(bench.refused.at(-1)).toEqual([later.row, "depends_on_refused"]);
    const afresh = new Pen(8).append("new life");
    bench.uplink.take(afresh);
    expect(pushed(bench.turn())).toHaveLength(1);
  });

  test("what builds on what builds on a refused row is set aside with it, whichever tabs wrote them", () => {
    const bench = new Bench();
    bench.open();
    const [first, second, third] = [new Pen(7), new Pen(8), new Pen(9)];
    const set = (pen: Pen) =>
      row(
        "state",
        pen.write((doc) => doc.getMap("ui").set("key", pen.id)),
      );
    const bad = set(first);
    second.read(bad.update);
    const heir = set(second);
    third.read(merge([bad.update, heir.update]));
    const last = set(third);
    expect([...readUpdate(last.update).needs.keys()]).toEqual([8]);
    for (const each of [bad, heir, last]) bench.uplink.take(each);
    bench.turn();
    bench.receive(reject(1));
    bench.receive(reject(2, "wrong_content"));
    expect(bench.refused).toEqual([
      [bad.row, "wrong_content"],
      [heir.row, "depends_on_refused"],
      [last.row, "depends_on_refused"],
    ]);
    expect(bench.uplink.unsynced).toBe(0);
  });

  test("a row that builds on what the server does not have is set aside when the session opens", () => {
    const bench = new Bench();
    const pen = new Pen(7);
    pen.append("refused in another life");
    const [orphan, heir, good] = [pen.append("a"), pen.append("b"), new Pen(8).append("c")];
    for (const each of [orphan, heir, good]) bench.uplink.take(each);
    expect(pushed(bench.open()).map((push) => toHex(push.update))).toEqual([toHex(good.update)]);
    expect(bench.refused).toEqual([
      [orphan.row, "depends_on_refused"],
      [heir.row, "depends_on_refused"],
    ]);
  });

  test("a row that builds on an earlier one, or on what the server has, is no orphan", () => {
    const bench = new Bench();
    const [theirs, pen] = [new Pen(3), new Pen(7)];
    pen.read(theirs.append("theirs").update);
    const [a, b] = [pen.append("a"), pen.append("b")];
    bench.uplink.take(b);
    bench.uplink.take(a);
    const frames = bench.open({ vectors: { state: Y.encodeStateVector(theirs.document) } });
    expect(pushed(frames).map((push) => toHex(push.update))).toEqual([toHex(merge([a.update, b.update]))]);
    expect(bench.refused).toEqual([]);
  });

  test("rows that the grant no longer allows are set aside", () => {
    const bench = new Bench();
    const [message, text] = [new Pen(7).message("a"), new Pen(7).append("b")];
    bench.uplink.take(message);
    bench.uplink.take(text);
    expect(pushed(bench.open({ rights: ["command"] })).map((push) => push.layer)).toEqual(["transcript"]);
    bench.open({ rights: ["state"] });
    expect(bench.refused).toEqual([
      [text.row, "forbidden"],
      [message.row, "forbidden"],
    ]);
  });

  test("rows for which the server would close the link never go out", () => {
    const bench = new Bench();
    const pen = new Pen(7);
    const [first, , third] = [pen.append("a"), pen.append("b"), pen.append("c")];
    const holed = row("state", merge([first.update, third.update]));
    const large = new Pen(8).message("x", "x".repeat(1 << 20));
    const parts = row(
      "state",
      new Pen(9).write((doc) => {
        for (let at = 0; at < 5_001; at++) doc.getMap("ui").set(`${at}`, 1);
      }),
    );
    const { theirs, rows: many } = deletions(1_001, 1);
    const wide = new Pen(11);
    wide.write((doc) => {
      for (let at = 0; at < 10_002; at++) doc.getMap("ui").set(`${at}`, 1);
    });
    const theirsToo = Y.encodeStateAsUpdate(wide.document);
    const ranges = row(
      "state",
      wide.write((doc) => {
        for (let at = 0; at < 10_002; at += 2) doc.getMap("ui").delete(`${at}`);
      }),
    );
    const broken = row("transcript", Uint8Array.of(1, 1, 7));
    const good = new Pen(10).message("good");
    for (const each of [holed, large, parts, ...many, ranges, broken, good]) bench.uplink.take(each);
    const state = Y.encodeStateVectorFromUpdate(merge([theirs, theirsToo]));
    expect(pushed(bench.open({ vectors: { state } })).map((push) => entriesOf(push.update))).toEqual([
      ["messages/good"],
    ]);
    expect(new Map(bench.refused)).toEqual(
      new Map([
        [holed.row, "unsupported_content"],
        [large.row, "too_large"],
        [parts.row, "too_many_structs"],
        [ranges.row, "too_many_structs"],
        [many[0]!.row, "too_many_clients"],
        [broken.row, "malformed"],
      ]),
    );
  });

  test("how large a row may be is what the server said", () => {
    const bench = new Bench();
    bench.limits.frameBytesMax = 1_000;
    const large = new Pen(8).message("x", "x".repeat(900));
    bench.uplink.take(large);
    expect(bench.open()).toEqual([]);
    expect(bench.refused).toEqual([[large.row, "too_large"]]);
  });
});

describe("what others write", () => {
  test("an update is applied and stored, and the seq of its receipts with it", () => {
    const bench = new Bench();
    bench.open();
    const server = new Pen(3);
    const data = server.write((doc) => doc.getMap("receipts").set("m:a", { seq: 4 }));
    bench.writes.length = 0;
    bench.receive(update(data));
    expect(bench.writes).toEqual([
      { kind: "remote", layer: "transcript", update: data },
      { kind: "progress", progress: { incarnation: "inc", version: 5, seq: 4, roots: { ui: "1" } } },
    ]);
    const older = server.write((doc) => doc.getMap("receipts").set("m:b", { seq: 2 }));
    bench.receive(update(data), update(older), update(server.append("x").update, "state"));
    expect(bench.uplink.seq).toBe(4);
  });

  test("an update that changes nothing is not stored", () => {
    const bench = new Bench();
    bench.open({ updates: { state: EMPTY_UPDATE } });
    bench.receive(update(EMPTY_UPDATE));
    expect(bench.writes.map((write) => write.kind)).toEqual(["progress"]);
  });

  test("an update that does not fit shuts the session, and is neither stored nor applied", () => {
    const bench = new Bench();
    bench.open();
    const pen = new Pen(3);
    pen.append("lost");
    bench.writes.length = 0;
    bench.receive(update(pen.append("!").update, "state"));
    expect(bench.of("shut").map((event) => event.code)).toEqual([4002]);
    expect(bench.writes).toEqual([]);
    expect(bench.uplink.state).toBe("closed");
  });

  test("an opening that does not fit is no opening", () => {
    const bench = new Bench();
    const pen = new Pen(3);
    pen.append("lost");
    bench.open({ updates: { state: pen.append("!").update } });
    expect(bench.uplink.state).toBe("closed");
    expect(bench.of("caught-up")).toEqual([]);
    expect(bench.uplink.progress).toEqual(NO_PROGRESS);
  });
});

describe("presence", () => {
  test("what the others see is sent once open, when it changes, and after every opening", () => {
    const bench = new Bench();
    bench.uplink.setPresence({ typing: true });
    expect(bench.turn()).toEqual([]);
    const said = { kind: "SetPresence", session: "s", state: { typing: true } };
    expect(bench.open()).toEqual([said]);
    expect(bench.turn()).toEqual([]);
    expect(bench.open()).toEqual([said]);
    bench.uplink.setPresence(null);
    expect(bench.turn()).toEqual([{ ...said, state: null }]);
    expect(bench.open()).toEqual([]);
  });

  test("who is here follows what the server says, and nobody is when the link goes", () => {
    const bench = new Bench();
    bench.open({ presence: [entry("a", 1), entry("b", 1)] });
    bench.receive({ kind: "PresenceChanged", session: "s", entries: [entry("a", null), entry("c", 2)] });
    expect([...bench.uplink.presence.values()]).toEqual([entry("b", 1), entry("c", 2)]);
    bench.uplink.disconnect();
    bench.turn();
    expect(bench.uplink.presence.size).toBe(0);
    expect(bench.of("presence").at(-1)!.entries).toEqual([entry("b", null), entry("c", null)]);
  });

  test("client ids are declared once the session is open, at most 256 in a frame", () => {
    const bench = new Bench();
    bench.uplink.declare([1]);
    bench.uplink.connect([2]);
    bench.turn();
    bench.uplink.declare([3]);
    bench.uplink.declare(Array.from({ length: 256 }, (_, at) => at + 10));
    const frames = bench.receive(opened());
    expect(frames.map((frame) => frame.kind === "Declare" && frame.clientIds.length)).toEqual([256, 1]);
    expect(frames[0]).toMatchObject({ kind: "Declare" });
    expect(bench.turn()).toEqual([]);
    bench.uplink.connect([4]);
    bench.uplink.declare([4]);
    bench.uplink.connect([4]);
    bench.turn();
    expect(bench.receive(opened())).toEqual([]);
  });
});

test("the recorded conversation: says what was said, hears what was answered, and ends where it ended", () => {
  interface Said {
    readonly peer: string;
    readonly from: string;
    readonly frame: string;
    readonly hex: string;
  }
  const { frames, ends } = load<{ frames: readonly Said[]; ends: { [layer: string]: object } }>("conversation.json");
  const bench = new Bench();
  let next = 0;
  for (const said of frames.filter((each) => each.peer === "ann" && !["Hello", "Welcome"].includes(each.frame))) {
    const data = fromHex(said.hex);
    if (said.from === "server") {
      bench.uplink.receive(decodeServer(data));
      bench.turn();
      continue;
    }
    const frame = decodeClient(data, DEFAULT_LIMITS);
    if (frame.kind === "Open") bench.uplink.connect([]);
    else if (frame.kind === "Push") {
      Y.applyUpdate(bench.docs[frame.layer], frame.update);
      bench.uplink.take({ row: ++next, layer: frame.layer, update: frame.update });
    }
    const out = bench.uplink.outgoing() as Parameters<typeof encode>[0][];
    expect(out.map((each) => toHex(encode(each)))).toEqual([said.hex]);
  }
  expect(bench.synced).toEqual(Array.from({ length: next }, (_, at) => at + 1));
  expect(bench.of("shut")).toEqual([]);
  for (const layer of ["transcript", "state"] as const) {
    const roots = Object.keys(ends[layer]!);
    const holds = roots.map((root) => [root, bench.docs[layer].getMap(root).toJSON()]);
    deepStrictEqual(Object.fromEntries(holds), ends[layer]);
  }
  expect(bench.uplink.seq).toBe(2);
});
