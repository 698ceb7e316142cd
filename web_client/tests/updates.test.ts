import { deepStrictEqual } from "node:assert";
import { expect, test } from "vitest";
import * as Y from "yjs";
import { EMPTY_UPDATE, isHeld, merge, readUpdate, stands } from "../src/core/updates.js";
import { fromHex, load } from "./vectors.js";

interface Accepted {
  readonly name: string;
  readonly hex: string;
  readonly ends: { readonly [client: string]: number };
}

/** What writing in a document comes to: one update for each change. */
function written(id: number, ...changes: ((document: Y.Doc) => void)[]): Uint8Array[] {
  const document = new Y.Doc();
  document.clientID = id;
  return writes(document, ...changes);
}

function writes(document: Y.Doc, ...changes: ((document: Y.Doc) => void)[]): Uint8Array[] {
  const updates: Uint8Array[] = [];
  document.on("update", (update: Uint8Array) => updates.push(update));
  for (const change of changes) document.transact(() => change(document));
  return updates;
}

const post = (id: string) => (doc: Y.Doc) => doc.getMap("messages").set(id, new Y.Map([["role", "user"]]));
const append = (text: string) => (doc: Y.Doc) => doc.getText("t").insert(doc.getText("t").length, text);

test("every golden update is read to the clocks that it says", () => {
  const { accepted } = load<{ accepted: readonly Accepted[] }>("updates.json");
  expect(accepted.length).toBeGreaterThan(5);
  for (const item of accepted) {
    const facts = readUpdate(fromHex(item.hex));
    deepStrictEqual(Object.fromEntries([...facts.ends].map(([client, end]) => [String(client), end])), item.ends);
    expect(facts.hole).toBe(false);
  }
});

test("an update needs what was written before it under its own client id, and nothing of itself", () => {
  const [first, second] = written(7, append("ab"), append("cd"));
  expect([...readUpdate(first!).needs]).toEqual([]);
  const facts = readUpdate(second!);
  expect([...facts.begins]).toEqual([[7, 2]]);
  expect([...facts.ends]).toEqual([[7, 4]]);
  expect([...facts.needs]).toEqual([[7, 2]]);
});

test("an update needs what it refers to: origins, parents and what it deletes", () => {
  const [text, map] = written(7, append("abc"), post("m"));
  const other = new Y.Doc();
  other.clientID = 8;
  Y.applyUpdate(other, merge([text!, map!]));
  const [between, nested, deleted] = writes(
    other,
    (doc) => doc.getText("t").insert(1, "-"),
    (doc) => (doc.getMap("messages").get("m") as Y.Map<unknown>).set("x", 1),
    (doc) => doc.getText("t").delete(3, 1),
  );
  expect([...readUpdate(between!).needs]).toEqual([[7, 2]]);
  expect(new Map(readUpdate(nested!).needs)).toEqual(
    new Map([
      [8, 1],
      [7, 4],
    ]),
  );
  expect([...readUpdate(deleted!).needs]).toEqual([[7, 3]]);
});

test("what is appended needs what it is appended to", () => {
  const [text] = written(7, append("abc"));
  const other = new Y.Doc();
  other.clientID = 8;
  Y.applyUpdate(other, text!);
  expect([...readUpdate(writes(other, append("!"))[0]!).needs]).toEqual([[7, 3]]);
});

test("an update stands where all it needs is there", () => {
  const [, second] = written(7, append("ab"), append("cd"));
  const facts = readUpdate(second!);
  expect(stands(facts, () => 2)).toBe(true);
  expect(stands(facts, () => 1)).toBe(false);
  expect(stands(facts, (client) => (client === 7 ? 0 : 9))).toBe(false);
});

test("an update is held where all its structs are; one of deletions alone never", () => {
  const document = new Y.Doc();
  document.clientID = 7;
  const [text, deletion] = writes(document, append("abc"), (doc) => doc.getText("t").delete(0, 3));
  expect(isHeld(readUpdate(text!), () => 3)).toBe(true);
  expect(isHeld(readUpdate(text!), () => 2)).toBe(false);
  expect(readUpdate(deletion!).deletions).toBe(1);
  expect(isHeld(readUpdate(deletion!), () => 9)).toBe(false);
  expect(isHeld(readUpdate(EMPTY_UPDATE), () => 9)).toBe(false);
});

test("where messages and commands begin is seen, not where they go on", () => {
  const [message, more, command, read] = written(
    7,
    post("m"),
    (doc) => (doc.getMap("messages").get("m") as Y.Map<unknown>).set("more", 1),
    (doc) => doc.getMap("commands").set("c", { kind: "cancel" }),
    (doc) => doc.getMap("reads").set("user:a", { seq: 1 }),
  );
  expect([message, more, command, read].map((update) => readUpdate(update!).starts)).toEqual([
    true,
    false,
    true,
    false,
  ]);
});

test("the highest seq of receipts is read, of messages and commands alone", () => {
  const receipts = (entries: [string, unknown][]) => (doc: Y.Doc) => {
    for (const [key, value] of entries) doc.getMap("receipts").set(key, value);
  };
  const [both, others] = written(
    7,
    receipts([
      ["m:a", { seq: 4 }],
      ["c:b", { seq: 5 }],
      ["r:x.0", { seq: 99 }],
    ]),
    receipts([
      ["a:1", { to: "x" }],
      ["m:odd", null],
      ["m:odder", { seq: "7" }],
    ]),
  );
  expect(readUpdate(both!).seq).toBe(5);
  expect(readUpdate(others!).seq).toBe(0);
});

test("a merge with a hole is seen, and stands nowhere", () => {
  const [first, , third] = written(7, append("a"), append("b"), append("c"));
  const facts = readUpdate(merge([first!, third!]));
  expect(facts.hole).toBe(true);
  expect(stands(facts, () => 99)).toBe(false);
  expect(readUpdate(merge(written(7, append("a"), append("b")))).hole).toBe(false);
});

test("what is no update throws", () => {
  expect(() => readUpdate(Uint8Array.of(1, 1, 7))).toThrow();
});
