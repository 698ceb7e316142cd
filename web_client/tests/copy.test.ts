/** A copy whose tab and leader are stand-ins: who it says is there, and what it shows of its tab. */

import "fake-indexeddb/auto";
import { expect, test, vi } from "vitest";
import * as Y from "yjs";
import { Copy } from "../src/core/copy.js";
import type { CopyHost } from "../src/core/copy.js";
import { StoreError } from "../src/core/errors.js";
import { DEFAULT_LIMITS } from "../src/core/limits.js";
import { Session } from "../src/core/session.js";
import { OFFLINE } from "../src/core/status.js";
import type { Status } from "../src/core/status.js";
import { Store } from "../src/core/store.js";
import type { Standing } from "../src/core/tabs.js";

const LIVE: Status = { ...OFFLINE, link: "live" };
const BEN = { peer: "b", subject: "user:ben", name: "ben", kind: "user", device: "phone", state: {} };
const STANDING: Standing = {
  status: LIVE,
  rights: null,
  roots: {},
  peer: "a",
  presence: [BEN, { ...BEN, peer: "a", subject: "user:ana" }],
  tabs: { this: {}, that: { at: "that" } },
};

async function made(): Promise<{ copy: Copy; host: { -readonly [K in keyof CopyHost]: CopyHost[K] } }> {
  const host = {
    store: await Store.open(`copy-${Math.random()}`, () => {}),
    tab: "this",
    subject: "user:ana",
    frameBytesMax: DEFAULT_LIMITS.frameBytesMax,
    presenceBytesMax: DEFAULT_LIMITS.presenceBytesMax,
    linkStatus: LIVE,
    stored: () => {},
    presenceMoved: () => {},
    released: () => {},
  };
  return { copy: new Copy("s", host), host };
}

test("nobody is there while the link is away, and all are there again when it is back", async () => {
  const { copy, host } = await made();
  copy.stands(STANDING);
  const session = new Session(copy);
  const peers = (): string[] => session.presence.everyone().map(({ peer }) => peer);
  expect(peers()).toEqual(["b", "a/that"]);
  host.linkStatus = { ...OFFLINE, link: "reconnecting" };
  copy.linkStands();
  expect(peers()).toEqual([]);
  host.linkStatus = LIVE;
  copy.linkStands();
  expect(peers()).toEqual(["b", "a/that"]);
});

test("a tab that left and is back believes nothing that it was told before", async () => {
  const { copy, host } = await made();
  copy.stands(STANDING);
  copy.parted();
  host.tab = "another";
  expect([copy.status.link, copy.presence()]).toEqual(["reconnecting", []]);
  copy.stands({ ...STANDING, tabs: { another: {} } });
  expect([copy.status.link, copy.presence().map(({ peer }) => peer)]).toEqual(["live", ["b"]]);
});

test("each who has a session open shows something, as one, until it is closed", async () => {
  const { copy } = await made();
  copy.users = 2;
  const [one, two] = [new Session(copy), new Session(copy)];
  expect(copy.ownPresence).toBe(null);
  one.presence.update({ activity: "active", at: 1, draft: "d" });
  two.presence.update({ activity: "hidden", at: 2 });
  expect(copy.ownPresence).toEqual({ activity: "active", at: 2, draft: "d" });
  one.presence.update({ at: 3 });
  expect(copy.ownPresence).toEqual({ activity: "active", at: 3, draft: "d" });
  await one.close();
  expect(copy.ownPresence).toEqual({ activity: "hidden", at: 2 });
  one.presence.update({ at: 4 });
  expect(copy.ownPresence).toEqual({ activity: "hidden", at: 2 });
  await two.close();
  expect(copy.ownPresence).toBe(null);
});

test("presence is measured by what the server takes", async () => {
  const { copy, host } = await made();
  const session = new Session(copy);
  host.presenceBytesMax = 100;
  expect(() => session.presence.update({ draft: "x".repeat(100) })).toThrow("at most 100 bytes");
  host.presenceBytesMax = 10_000;
  session.presence.update({ draft: "x".repeat(9_000) });
  expect(copy.ownPresence).toEqual(session.presence.mine);
});

test.each([false, true])(
  "an edit that another tab tells of while the copy is read is in it: awaited %s",
  async (awaited) => {
    const { copy, host } = await made();
    const { store } = host;
    const load = store.load.bind(store);
    let reads = () => {};
    let tells = () => {};
    const read = new Promise<void>((resolve) => (reads = resolve));
    const told = new Promise<void>((resolve) => (tells = resolve));
    store.load = async (session) => {
      const found = await load(session);
      reads();
      await told;
      return found;
    };
    const loaded = copy.load();
    await read;
    const elsewhere = new Y.Doc();
    elsewhere.getMap("messages").set("m", "words");
    const update = Y.encodeStateAsUpdate(elsewhere);
    const row = await store.append("s", "state", update);
    copy.absorb([{ row, session: "s", layer: "state", update, own: true }]);
    const synced = awaited ? copy.synced() : null;
    tells();
    await loaded;
    await copy.catchUp();
    expect(copy.document("state").getMap("messages").toJSON()).toEqual({ m: "words" });
    expect(copy.unsynced).toBe(1);
    copy.syncedRows([row]);
    await synced;
  },
);

test("an edit that nobody waits for is told of when it is not kept, and one that somebody waits for to them alone", async () => {
  const { copy, host } = await made();
  await copy.load();
  const told: string[] = [];
  copy.listen((change) => change.kind === "refused" && told.push(`${change.edit.code} ${change.edit.reason}`));
  const write = (text: string) => copy.document("state").getText("notes").insert(0, text);
  const notes = () => copy.document("state").getText("notes").toJSON();

  write("kept");
  await copy.saved();
  host.frameBytesMax = 1_000;
  write("x".repeat(2_000));
  expect(told).toEqual([expect.stringMatching(/^misuse one edit holds at most \d+ bytes/)]);
  await vi.waitFor(() => expect(notes()).toBe("kept"));
  expect(() => copy.edit("state", () => write("x".repeat(2_000)))).toThrow(/holds at most/);
  expect(told.length).toBe(1);

  await vi.waitFor(() => expect(notes()).toBe("kept"));
  const full = new StoreError("no space left", "quota");
  host.store.append = () => Promise.reject(full);
  write("lost");
  await vi.waitFor(() => expect(told.slice(1)).toEqual(["quota no space left"]));
  await vi.waitFor(() => expect(notes()).toBe("kept"));
  await expect(copy.edit("state", () => write("mine")).saved).rejects.toBe(full);
  expect(told.length).toBe(2);
});
