import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
import * as Y from "yjs";
import { beforeEach, expect, test, vi } from "vitest";
import { StoreError } from "../src/core/errors.js";
import { fold } from "../src/core/fold.js";
import { Store } from "../src/core/store.js";
import type { Progress } from "../src/core/progress.js";

beforeEach(() => {
  globalThis.indexedDB = new IDBFactory();
  vi.restoreAllMocks();
});

const update = (text: string): Uint8Array => new TextEncoder().encode(text);
const progress = (version: number, seq: number, incarnation = "i"): Progress => ({
  incarnation,
  version,
  seq,
  roots: { [`root${version}`]: "1" },
});

/** What a document writes with each call, as updates. */
function writer(): (key: string) => Uint8Array {
  const document = new Y.Doc();
  return (key) => {
    let written: Uint8Array = new Uint8Array();
    document.once("update", (bytes: Uint8Array) => (written = bytes));
    document.getMap("messages").set(key, key);
    return written;
  };
}

/** Have the browser give up the next `times` transactions as it does with a frozen tab's; return how many it began. */
function frozenInMidWrite(times: number): () => number {
  let begun = 0;
  const begin = IDBDatabase.prototype.transaction;
  vi.spyOn(IDBDatabase.prototype, "transaction").mockImplementation(function (this: IDBDatabase, ...how) {
    const tx = begin.apply(this, how);
    begun += 1;
    if (begun <= times) queueMicrotask(() => (tx as unknown as { _abort(name: string): void })._abort("TimeoutError"));
    return tx;
  });
  return () => begun;
}

test("what the browser gave up while the tab was frozen in it is done once, in order", async () => {
  const store = await Store.open("s");
  const begun = frozenInMidWrite(2);
  const rows = await Promise.all(["a", "b"].map((text) => store.append("trip", "state", update(text))));
  expect(begun()).toBe(3);
  const { rows: found } = await store.load("trip");
  expect(found.map(({ row, update: bytes }) => [row, new TextDecoder().decode(bytes)])).toEqual([
    [rows[0], "a"],
    [rows[1], "b"],
  ]);
  vi.restoreAllMocks();

  frozenInMidWrite(1);
  expect((await store.load("trip")).rows).toHaveLength(2);
});

test("a tab that is frozen again and again in mid-write is told to load the page again", async () => {
  const store = await Store.open("s");
  const begun = frozenInMidWrite(Infinity);
  await expect(store.append("trip", "state", update("a"))).rejects.toMatchObject({ code: "timeout" });
  expect(begun()).toBe(5);
  vi.restoreAllMocks();
  expect((await store.load("trip")).rows).toEqual([]);
  expect(await store.append("trip", "state", update("b"))).toBeGreaterThan(0);
});

test("what is noted of a session in one transaction is all kept", async () => {
  const store = await Store.open("s");
  await Promise.all([
    store.commit("trip", [
      { kind: "progress", progress: progress(3, 2) },
      { kind: "rights", rights: ["state"] },
    ]),
    store.commit("trip", [{ kind: "progress", progress: progress(4, 3) }]),
    store.commit("other", [{ kind: "rights", rights: ["presence"] }]),
  ]);

  const { record } = await store.load("trip");
  expect([record?.incarnation, record?.version, record?.seq, record?.rights]).toEqual(["i", 4, 3, ["state"]]);
  expect(record?.roots).toEqual({ root3: "1", root4: "1" });
  expect((await store.load("other")).record?.rights).toEqual(["presence"]);
});

test("own rows are numbered in order, and own until they are synced", async () => {
  const store = await Store.open("s");
  const rows = await Promise.all(["a", "b", "c"].map((text) => store.append("trip", "state", update(text))));
  expect(rows).toEqual([1, 2, 3]);
  await store.commit("trip", [{ kind: "synced", rows: [2] }]);

  const { rows: found } = await store.load("trip");
  expect(found.map(({ row, own }) => [row, own])).toEqual([
    [1, true],
    [2, false],
    [3, true],
  ]);
  expect(await store.own("trip")).toEqual(new Set([1, 3]));
  expect((await store.load("other")).rows).toEqual([]);
});

test("what is asked for while a transaction is in flight goes into the next one together", async () => {
  const store = await Store.open("s");
  const began = vi.spyOn(IDBDatabase.prototype, "transaction");
  await Promise.all(Array.from({ length: 100 }, (_, at) => store.append("trip", "state", update(`${at}`))));
  const transactions = began.mock.calls.filter(([, mode]) => mode === "readwrite");
  began.mockRestore();

  expect(transactions.length).toBe(1);
  expect(transactions[0]![2]).toEqual({ durability: "strict" });
  expect((await store.load("trip")).rows.length).toBe(100);
});

test("a turn is one transaction: if a part of it fails nothing of it is written, nor what waited behind it", async () => {
  const store = await Store.open("s");
  const add = vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  const turn = store.commit("trip", [
    { kind: "remote", layer: "state", update: update("x") },
    { kind: "rights", rights: ["state"] },
  ]);
  // Fails within the turn's own requests, when the record it changes was read.
  const behind = store.append("trip", "state", update("behind"));
  await expect(turn).rejects.toMatchObject({ name: "StoreError" });
  await expect(behind).rejects.toBeInstanceOf(StoreError);
  add.mockRestore();

  expect((await store.load("trip")).rows).toEqual([]);
  expect(await store.append("trip", "state", update("after"))).toBeGreaterThan(0);
});

test("a device that is full says so", async () => {
  const store = await Store.open("s");
  const add = vi.spyOn(IDBObjectStore.prototype, "add").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  await expect(store.append("trip", "state", update("x"))).rejects.toMatchObject({ code: "quota" });
  add.mockRestore();
});

test("a tab that slept does not set a session's place back, and another incarnation begins anew", async () => {
  const store = await Store.open("s");
  await store.commit("trip", [{ kind: "progress", progress: progress(9, 5) }]);
  await store.commit("trip", [{ kind: "progress", progress: progress(7, 3) }]);
  const { record } = await store.load("trip");
  expect(record).toMatchObject({ version: 9, seq: 5, roots: { root9: "1", root7: "1" } });

  await store.commit("trip", [{ kind: "progress", progress: progress(1, 0, "other") }]);
  expect((await store.load("trip")).record).toMatchObject({
    incarnation: "other",
    version: 1,
    seq: 0,
    roots: { root1: "1" },
  });
});

test("a refused row is moved aside with its reason, once, and a synced one stays", async () => {
  const store = await Store.open("s");
  const refused = await store.append("trip", "transcript", update("bad"));
  const synced = await store.append("trip", "transcript", update("good"));
  await store.commit("trip", [{ kind: "synced", rows: [synced] }]);
  const writes = [{ kind: "refused", rows: [refused, synced], code: "forbidden", reason: "no" }] as const;
  await store.commit("trip", writes);
  await store.commit("trip", writes);

  expect((await store.load("trip")).rows.map(({ row }) => row)).toEqual([synced]);
  const aside = await store.refused("trip");
  expect(aside).toMatchObject([{ row: refused, layer: "transcript", code: "forbidden", reason: "no" }]);
  expect(aside[0]!.update).toEqual(update("bad"));
  await store.dropRefused("trip");
  expect(await store.refused("trip")).toEqual([]);
});

test("a fold takes exactly the rows it was made of: what other tabs add meanwhile stays", async () => {
  const [store, other] = await Promise.all([Store.open("s"), Store.open("s")]);
  const rows = await store.commit("trip", [
    { kind: "remote", layer: "state", update: update("a") },
    { kind: "remote", layer: "state", update: update("b") },
  ]);
  const meanwhile = await other.append("trip", "state", update("c"));
  const keys = rows.map(({ row }) => row);

  expect(await store.fold("trip", "state", keys, update("ab"))).toBe(true);
  const left = (await store.load("trip")).rows;
  expect(left.map(({ row }) => row)).toEqual([meanwhile, meanwhile + 1]);
  // Folded by somebody else already, or not synced.
  expect(await store.fold("trip", "state", keys, update("ab"))).toBe(false);
  expect(await store.fold("trip", "state", [meanwhile], update("c"))).toBe(false);
  expect((await store.load("trip")).rows).toEqual(left);
});

test("folding leaves own rows as they were made, and leaves what stands on one of them", async () => {
  const store = await Store.open("s");
  const [mine, theirs] = [writer(), writer()];
  await store.append("trip", "transcript", mine("own"));
  const behind = mine("stands on own");
  await store.commit(
    "trip",
    ["a", "b", "c"].map((key) => ({ kind: "remote", layer: "transcript", update: theirs(key) }) as const),
  );
  await fold(store, "trip", 2);
  expect((await store.load("trip")).rows.map(({ own }) => own)).toEqual([true, false]);

  await store.commit("trip", [{ kind: "remote", layer: "transcript", update: behind }]);
  await fold(store, "trip", 2);
  expect((await store.load("trip")).rows.length).toBe(3);
  await store.commit("trip", [{ kind: "synced", rows: [1] }]);
  await fold(store, "trip", 2);

  const { rows } = await store.load("trip");
  expect(rows.length).toBe(1);
  const document = new Y.Doc();
  Y.applyUpdate(document, rows[0]!.update);
  expect([...document.getMap("messages").keys()].toSorted()).toEqual(["a", "b", "c", "own", "stands on own"]);
});

test("rows behind the last one seen are found, of this session alone", async () => {
  const [store, other] = await Promise.all([Store.open("s"), Store.open("s")]);
  const first = await store.append("trip", "state", update("a"));
  await other.append("elsewhere", "state", update("b"));
  const last = await other.append("trip", "state", update("c"));

  expect((await store.after("trip", first)).map(({ row }) => row)).toEqual([last]);
});

test("a device and its subject are kept, and all tabs of a store are one device", async () => {
  const [one, two] = await Promise.all([Store.open("s"), Store.open("s")]);
  expect(one.device).toBe(two.device);
  expect(one.subject).toBe("");
  await one.setSubject("user:ana");

  expect(await Store.open("s")).toMatchObject({ device: one.device, subject: "user:ana" });
  expect((await Store.open("other")).device).not.toBe(one.device);
});

test("sessions are listed with what is not synced, also those no server ever saw", async () => {
  const store = await Store.open("s");
  await store.commit("trip", [{ kind: "progress", progress: progress(3, 2) }]);
  await store.append("trip", "state", update("a"));
  await store.append("new", "state", update("b"));

  const found = await store.sessions();
  expect(found.map(({ session, unsynced, seq }) => [session, unsynced, seq])).toEqual([
    ["trip", 1, 2],
    ["new", 1, 0],
  ]);
});

test("forgetting erases a session, and no other", async () => {
  const store = await Store.open("s");
  await store.commit("trip", [{ kind: "progress", progress: progress(3, 2) }]);
  const row = await store.append("trip", "state", update("a"));
  await store.append("other", "state", update("b"));
  await store.commit("trip", [{ kind: "refused", rows: [row], code: "forbidden", reason: "" }]);
  await store.append("trip", "state", update("c"));
  await store.forget("trip");

  expect(await store.load("trip")).toEqual({ record: null, rows: [] });
  expect(await store.refused("trip")).toEqual([]);
  expect((await store.load("other")).rows.length).toBe(1);
});

test("a newer version of the page, or an erasure, closes the store, and says so to who writes next", async () => {
  const gone = vi.fn();
  const store = await Store.open("s", gone);
  await store.append("trip", "state", update("a"));
  await new Promise((resolve, reject) => {
    const newer = indexedDB.open("syncd:s", 2);
    newer.onsuccess = resolve;
    newer.onblocked = reject;
  });

  expect(gone).toHaveBeenCalledOnce();
  expect(gone.mock.calls[0]![0]).toMatchObject({ code: "outdated" });
  await expect(store.append("trip", "state", update("b"))).rejects.toMatchObject({ code: "outdated" });
  await expect(store.load("trip")).rejects.toMatchObject({ code: "outdated" });
});

test("a row that does not read is damage, and is not taken for an empty copy", async () => {
  const store = await Store.open("s");
  await store.append("trip", "state", "not bytes" as unknown as Uint8Array);

  await expect(store.load("trip")).rejects.toMatchObject({ code: "damaged" });
});

test("without IndexedDB the error says what is missing", async () => {
  const there = globalThis.indexedDB;
  // @ts-expect-error -- as in a browser that has none.
  delete globalThis.indexedDB;
  await expect(Store.open("s")).rejects.toMatchObject({ code: "unavailable" });
  globalThis.indexedDB = there;
});
