/** The core alone: a session as two documents that are replicated, without a word of what a transcript says. */

import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { Session } from "../src/core/index.js";
import { LocalProtocolError } from "../src/core/errors.js";
import { MemoryReplica } from "./memory_replica.js";
import { MemoryServer } from "./memory_server.js";

function two(): { mona: Session; tom: Session; monas: MemoryReplica } {
  const server = new MemoryServer();
  const monas = new MemoryReplica(server, "user:mona").connect();
  return { monas, mona: new Session(monas), tom: new Session(new MemoryReplica(server, "user:tom").connect()) };
}

it("imports nothing from outside of its folder but Yjs and what that stands on", () => {
  const place = new URL("../src/core/", import.meta.url);
  const files = readdirSync(place);
  expect(files.length).toBeGreaterThan(20);
  for (const file of files) {
    const text = readFileSync(new URL(file, place), "utf8");
    const imported = [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map(([, name]) => name!);
    expect(imported.filter((name) => !/^(yjs$|lib0\/)/.test(name) && !name.startsWith("./"))).toEqual([]);
  }
});

it("writes into a layer in one transaction, which others get, and says when it is synced", async () => {
  const { mona, tom, monas } = two();
  monas.disconnect();
  const edit = mona.transact("state", (document) => {
    document.getMap("screen").set("tab", "map");
    document.getText("notes").insert(0, "shade");
  });
  await edit.saved;
  expect(mona.unsynced).toBe(1);
  monas.connect();
  await edit.synced;
  await mona.synced();
  expect(tom.state.map("screen").get("tab")).toBe("map");
  expect(String(tom.document("state").getText("notes"))).toBe("shade");
});

it("tells what changed at most once a microtask, and is awaited for what it then is", async () => {
  const { mona, tom } = two();
  let told = 0;
  const stop = tom.subscribe(() => told++);
  const before = tom.version;
  const coming = tom.until(() => {
    const [entry] = tom.presence.everyone();
    return (entry?.state as { cursor?: number } | null)?.cursor ?? null;
  });
  mona.presence.update({ cursor: 1 });
  mona.presence.update({ cursor: 2 });
  expect(await coming).toBe(2);
  expect(told).toBe(1);
  expect(tom.version).toBeGreaterThan(before);
  stop();
});

it("writes nothing any more once it is closed", async () => {
  const { mona, monas } = two();
  await mona.close();
  await mona.close();
  expect(monas.closed).toBe(true);
  expect(() => mona.transact("state", (document) => document.getMap("a").set("b", 1))).toThrow(LocalProtocolError);
});
