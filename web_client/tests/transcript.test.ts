/** Transcripts: ten thousand messages, only what changed is read again, and whatever anybody wrote is no error. */

import { describe, expect, it, vi } from "vitest";
import * as Y from "yjs";
import { Branches } from "../src/branches.js";
import type { Selection } from "../src/branches.js";
import { Clock, isId, isSubject, runOfCall, splitRunKey, uuid7 } from "../src/core/ids.js";
import { putMessage } from "../src/parts.js";
import { Runs } from "../src/runs.js";
import { checkValue } from "../src/core/values.js";
import { Transcript } from "../src/transcript.js";
import { View } from "../src/view.js";
import type { ViewHost } from "../src/view.js";

const COUNT = 10_000;

/** What a view reads of a session, of a document that this test writes itself. */
class Reader {
  readonly transcript = new Transcript(() => this.document);
  readonly runs = new Runs(() => this.document);

  constructor(readonly document = new Y.Doc()) {}

  write(id: string, seq: number | null, fields: Record<string, unknown> = {}): void {
    const message = { id, role: "user" as const, author: {}, createdAt: seq ?? 0, parts: [], to: [], ...fields };
    this.document.transact(() => {
      putMessage(this.document, { ...message, parts: [{ type: "text", text: `text of ${id}` }] });
      if (seq !== null) this.place(id, seq);
    });
    this.touch("messages", id);
  }

  place(id: string, seq: number): void {
    this.document.getMap("receipts").set(`m:${id}`, { seq, by: "user:x", at: 0 });
    this.touch("receipts", `m:${id}`);
  }

  touch(root: string, key: string): void {
    this.transcript.touch([[root, key]]);
    this.runs.touch([[root, key]]);
  }

  view(selected: Selection = {}): View {
    const { transcript, runs } = this;
    const host = {
      messages: () => transcript.messages(),
      message: (id: string) => transcript.message(id),
      superseded: (message: Parameters<Runs["superseded"]>[0]) => runs.superseded(message),
      outputOf: (message: Parameters<Runs["outputOf"]>[0]) => runs.outputOf(message),
      get shape() {
        return transcript.shape;
      },
      get spans() {
        return runs.spans;
      },
    };
    return new View(host as unknown as ViewHost, { page: 1000, selected });
  }
}

describe("ten thousand messages", () => {
  const reader = new Reader();
  reader.document.transact(() => {
    for (let at = 0; at < COUNT; at++) {
      const answer = at % 2 === 1 ? { run: `r${at}`, attempt: 1, parent: `m${at - 1}` } : {};
      reader.write(`m${at}`, at + 1, answer);
    }
  });
  const view = reader.view();

  it("are read and laid out in less than a second", () => {
    const began = process.cpuUsage();
    expect(view.items).toHaveLength(1000);
    const { user, system } = process.cpuUsage(began);
    expect((user + system) / 1000).toBeLessThan(1000); // Some 200 ms on an idle core.
    expect(view.olderCount).toBe(COUNT - 1000);
  });

  it("of which one changes cost the reading of one", () => {
    void view.items;
    const read = vi.spyOn(Y.Array.prototype, "toJSON");
    const looks = vi.spyOn(Y.Map.prototype, "get");
    const text = (
      (reader.document.getMap("messages").get("m5000") as Y.Map<unknown>).get("parts") as Y.Array<unknown>
    ).get(0) as Y.Map<Y.Text>;
    const before = reader.transcript.messages();
    text.get("text")!.insert(0, "more ");
    reader.touch("messages", "m5000");
    reader.write("late", null);
    const items = view.items;
    expect(items.at(-1)!.message.id).toBe("late");
    reader.place("late", COUNT + 1);
    expect(view.items.at(-1)!.message.seq).toBe(COUNT + 1);
    // The fields of the message that grew, and of the new one twice.
    expect(looks.mock.calls.length).toBeLessThan(100);
    expect(read.mock.calls.length).toBe(0);
    expect(items.at(-1)!.message.text).toBe("text of late");
    expect(read.mock.calls.length).toBe(1); // Parts only where somebody looks at them.
    looks.mockRestore();
    read.mockRestore();
    const after = reader.transcript.messages();
    expect(after.filter((message, at) => message !== before[at]).map((message) => message.id)).toEqual([
      "m5000",
      "late",
    ]);
    expect(after[5000]!.text).toBe("more text of m5000");
  });

  it("take what comes next without laying out all of them again", () => {
    void view.items;
    const { shape } = reader.transcript;
    const lay = vi.spyOn(Branches.prototype, "view");
    for (let at = 0; at < 200; at++) {
      reader.write(`n${at}`, COUNT + 2 + at);
      expect(view.items.at(-1)!.message.id).toBe(`n${at}`);
    }
    expect([reader.transcript.shape, lay.mock.calls.length]).toEqual([shape, 0]);
    lay.mockRestore();
  });
});

describe("a view that is kept", () => {
  it("shows what one that is made anew shows, whatever happens in whatever order", () => {
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
    const pick = <T>(list: readonly T[]): T | undefined => (list.length > 0 ? list[random(list.length)] : undefined);
    for (let round = 0; round < 8; round++) {
      const reader = new Reader();
      const view = reader.view();
      const ids: string[] = [];
      const pending: string[] = [];
      let seq = 0;
      for (let step = 0; step < 25; step++) {
        const kind = random(10);
        if (kind < 6) {
          const id = `m${step}`;
          const role = pick(["user", "assistant", "system"]);
          const links = {
            parent: pick([...ids, null, "gone"]),
            forkOf: random(3) === 0 ? pick([...ids, "gone"]) : null,
          };
          const metadata = role === "system" ? { regenerate: links.forkOf ?? "x" } : {};
          const output = random(2) === 0 ? { run: `r${random(2)}`, attempt: 1 + random(2) } : {};
          const placed = random(3) > 0;
          reader.write(id, placed ? ++seq : null, { role, ...links, metadata, ...output, createdAt: step });
          ids.push(id);
          if (!placed) pending.push(id);
        } else if (kind < 8 && pending.length > 0) {
          reader.place(pending.splice(random(pending.length), 1)[0]!, ++seq);
        } else if (kind === 8) {
          const run = `r${random(2)}`;
          let number = 0;
          while (reader.document.getMap("receipts").has(`r:${run}.${number}`)) number++;
          const fact = { at: 1, agent: "agent:a", lease: "live", attempt: 1 + random(2), since: 1 + random(2) };
          reader.document.getMap("receipts").set(`r:${run}.${number}`, fact);
          reader.touch("receipts", `r:${run}.${number}`);
        } else if (ids.length > 0) view.select(pick(ids)!);
        const anew = new Reader(reader.document);
        const laid = (shown: View) =>
          shown.items.map(({ message, group, index, siblings }) => [message.id, group, index, siblings]);
        expect(laid(view)).toEqual(laid(anew.view(view.selected)));
      }
    }
  });
});

describe("what others wrote", () => {
  it("goes when they take it back, from its run, too", () => {
    const reader = new Reader();
    for (const [at, id] of ["a", "b", "c"].entries()) reader.write(id, at + 1, { run: "r", attempt: 1 });
    const view = reader.view();
    expect(view.items).toHaveLength(3);
    reader.document.getMap("messages").delete("b");
    reader.touch("messages", "b");
    expect(view.items.map((item) => item.message.id)).toEqual(["a", "c"]);
    expect(reader.transcript.ofRun("r").map((message) => message.id)).toEqual(["a", "c"]);
    expect(reader.transcript.message("b")).toBeNull();
  });

  it("is read as far as it can be, and is never an error", () => {
    const reader = new Reader();
    const messages = reader.document.getMap<unknown>("messages");
    const odd: Record<string, unknown> = {
      text: "no map",
      number: 5,
      empty: new Y.Map(),
      bytes: new Uint8Array([1]),
      fields: new Y.Map<unknown>([
        ["role", "king"],
        ["author", "me"],
        ["to", [1, "user:x", null]],
        ["created_at", -5.5],
        ["parent", 7],
        ["metadata", [1]],
        [
          "parts",
          Y.Array.from<number | string | object | null>([
            1,
            null,
            "x",
            { no: "type" },
            { type: "text", text: 5 },
            { type: "map" },
          ]),
        ],
      ]),
      list: Y.Array.from([1]),
    };
    for (const [id, value] of Object.entries(odd)) messages.set(id, value);
    const receipts = reader.document.getMap<unknown>("receipts");
    receipts.set("m:empty", { seq: "1", by: 2 });
    receipts.set("r:x.0", "nothing");
    receipts.set("a:0", 5);
    receipts.set("d:c", []);
    reader.document.getMap<unknown>("runs").set("x_1", "nothing");
    reader.document.getMap<unknown>("runs").set("no attempt", new Y.Map());
    expect(reader.transcript.messages().map((view) => view.id)).toEqual(["empty", "fields"]);
    expect(reader.transcript.message("fields")).toMatchObject({
      role: "user",
      to: ["user:x"],
      createdAt: 0,
      parent: null,
      metadata: {},
      parts: [{ type: "text", text: 5 }, { type: "map" }],
      receipt: null,
    });
    expect([reader.runs.runs(), reader.runs.handover(), reader.runs.decision("c")]).toEqual([[], null, null]);
    expect(reader.view().items).toHaveLength(2);
  });
});

describe("ids", () => {
  it("are UUIDv7 that sort by when they were made, also within a millisecond", () => {
    expect(uuid7(0x0123456789ab)).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const clock = new Clock(() => 1000);
    const made = Array.from({ length: 100 }, () => clock.next());
    expect(made.map(({ id }) => id).toSorted()).toEqual(made.map(({ id }) => id));
    expect(made.map(({ at }) => at)).toEqual(Array.from({ length: 100 }, (_, at) => 1000 + at));
  });

  it("and subjects are told from what is none", () => {
    expect(["a", "A_-9", "x".repeat(64)].every(isId)).toBe(true);
    expect(["", "a b", "x".repeat(65), "é", 5, null].some(isId)).toBe(false);
    expect(["user:mona", "server:", "agent:Jürgen 🙂"].every(isSubject)).toBe(true);
    expect(["mona", "User:x", "user:\n", "user:\ud83d", `user:${"x".repeat(111)}`].some(isSubject)).toBe(false);
    expect([splitRunKey("a_b_12"), splitRunKey("a"), splitRunKey("a_x")]).toEqual([
      ["a_b", 12],
      ["a", 0],
      ["a_x", 0],
    ]);
    expect([runOfCall("a-b-1_0"), runOfCall("x")]).toEqual(["a-b", ""]);
  });
});

describe("values", () => {
  it("are JSON that every client reads alike, or refused", () => {
    let deep: unknown = 1;
    for (let at = 0; at < 33; at++) deep = [deep];
    const bad = [Number.NaN, Infinity, 2 ** 53, "\udc00", { ["\ud800"]: 1 }, deep, 1n];
    const parsed: unknown = JSON.parse('{"__proto__": 1}');
    for (const value of [...bad, parsed, new Map(), undefined, () => 1]) expect(() => checkValue(value)).toThrow();
    for (const value of [null, true, 2 ** 53 - 1, -0.5, "🙂", { a: [{ b: undefined }] }]) checkValue(value);
  });
});
