/** The shelf: when it looks around, what it lists, and what it lets go of. */

import { expect, it, vi } from "vitest";
import { Shelf } from "../../app/list/shelf.js";
import type { Client } from "../../src/client.js";
import type { IndexRow } from "../../src/core/messages.js";
import type { LinkStatus } from "../../src/core/status.js";
import { Session } from "../../src/session.js";
import { MemoryReplica } from "../memory_replica.js";
import { MemoryServer } from "../memory_server.js";

/** How long so many take that are opened one after another, on a machine that has much to do. */
const PATIENCE = { timeout: 10_000 };

it("asks for the list when the session that is looked at is live, and not before", async () => {
  const replica = new MemoryReplica(new MemoryServer(), "user:ana");
  const session = new Session(replica);
  let link: LinkStatus = "reconnecting";
  vi.spyOn(session, "status", "get").mockImplementation(() => ({ link }) as Session["status"]);
  const told: (() => void)[] = [];
  vi.spyOn(session, "subscribe").mockImplementation((listener) => {
    told.push(listener);
    return () => {};
  });
  const list = { rows: [], live: false, whole: true, subscribe: () => () => {}, close: () => {} };
  const client = { open: async () => session, index: vi.fn(async () => list), copies: async () => [] };
  const shelf = new Shelf(client as unknown as Client);

  await shelf.open("trip");
  for (const tell of told) tell();
  expect([shelf.looked, client.index.mock.calls.length]).toEqual([false, 0]);

  link = "live";
  for (const tell of told) tell();
  expect(shelf.looked).toBe(true);
  await vi.waitFor(() => expect(client.index).toHaveBeenCalledOnce());
  shelf.close();
});

/** A client whose sessions are there at once; `closed` are those that were closed again. */
class Opens {
  readonly opened = new Map<string, Session>();
  readonly closed: string[] = [];
  readonly unsynced = new Set<string>();
  readonly gone = new Set<string>();
  rows: Partial<IndexRow>[] = [];
  readonly list = {
    rows: this.rows,
    live: true,
    whole: true,
    lacks: (id: string) => this.gone.has(id),
    subscribe: () => () => {},
    close: () => {},
  };

  shelf(): Shelf {
    return new Shelf(this as unknown as Client);
  }

  async open(id: string): Promise<Session> {
    const session = new Session(new MemoryReplica(new MemoryServer(), "user:ana"));
    vi.spyOn(session, "unsynced", "get").mockImplementation(() => (this.unsynced.has(id) ? 1 : 0));
    vi.spyOn(session, "close").mockImplementation(async () => void this.closed.push(id));
    this.opened.set(id, session);
    return session;
  }

  async index(): Promise<typeof this.list> {
    return this.list;
  }

  async copies(): Promise<readonly { session: string; unsynced: number }[]> {
    return [...this.opened.keys()].map((session) => ({ session, unsynced: this.unsynced.has(session) ? 1 : 0 }));
  }
}

it("keeps so many open that all of them go live, and of those the ones that were looked at last", async () => {
  const client = new Opens();
  const shelf = client.shelf();
  const visits = Array.from({ length: 42 }, (_, n) => `s${n}`);
  client.unsynced.add("s1");
  for (const id of visits.slice(0, 40)) await shelf.open(id);
  const [first] = [await shelf.open("s0"), await shelf.open("s2")];
  expect(client.closed).toEqual([]);
  for (const id of visits.slice(40)) await shelf.open(id);
  expect(client.closed).toEqual(["s3", "s4"]);
  expect(await shelf.open("s0")).toBe(first);
  expect(shelf.entries().length).toBe(42);
  await shelf.open("s3");
  expect(client.closed).toEqual(["s3", "s4", "s5"]);
  shelf.close();
});

it("does not let go of the one that is shown, however long ago it was opened", { timeout: 30_000 }, async () => {
  const client = new Opens();
  const come = (from: number) =>
    client.list.rows.push(...Array.from({ length: 24 }, (_, n) => ({ session: `kept${from + n}`, at: from + n })));
  client.list.rows.push({ session: "shown", at: 0 });
  client.unsynced.add("kept24");
  const shelf = client.shelf();
  await shelf.open("shown");
  come(1);
  await shelf.refresh();
  await vi.waitFor(() => expect(client.opened.size).toBe(25), PATIENCE);
  come(25);
  await shelf.refresh();
  await vi.waitFor(() => expect(client.closed.length).toBe(9), PATIENCE);
  expect(client.opened.size).toBe(49);
  for (const id of ["shown", "kept24", "kept25"]) expect(client.closed).not.toContain(id);
  shelf.close();
});

it("lists no copy of what was put away or is no more, but for what is shown and what is not sent", async () => {
  const client = new Opens();
  for (const id of ["put-away", "deleted", "shown", "unsent", "only-here"]) {
    await client.open(id);
    client.gone.add(id);
  }
  client.gone.delete("only-here");
  client.unsynced.add("unsent");
  const shelf = client.shelf();
  await shelf.open("put-away");
  shelf.leave("put-away");
  await shelf.open("shown");
  await shelf.refresh();
  const ids = () => shelf.entries().map(({ id }) => id);
  expect(ids()).toEqual(["shown", "only-here", "unsent"]);
  shelf.leave("shown");
  expect(ids()).toEqual(["only-here", "unsent"]);
  shelf.close();
});

it("takes none that it keeps open for one that was begun just now", async () => {
  const client = new Opens();
  const before = await client.open("old-copy");
  client.list.rows.push({ session: "listed", at: 5 });
  const shelf = client.shelf();
  await shelf.refresh();
  await vi.waitFor(() => expect(client.opened.get("old-copy")).not.toBe(before));
  expect(shelf.entries().map(({ id, at }) => [id, at])).toEqual([
    ["listed", 5],
    ["old-copy", 0],
  ]);
  shelf.close();
});
