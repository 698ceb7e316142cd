/** The shelf: when it looks around. */

import { expect, it, vi } from "vitest";
import { Shelf } from "../../app/shelf.js";
import type { Client } from "../../src/client.js";
import type { LinkStatus } from "../../src/core/status.js";
import { Session } from "../../src/session.js";
import { MemoryReplica } from "../memory_replica.js";
import { MemoryServer } from "../memory_server.js";

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
