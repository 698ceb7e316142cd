/** A session on an in-memory replica: reading, writing, what is told, and that no write refers to what is not its own. */

import { describe, expect, it } from "vitest";
import { Session } from "../src/session.js";
import { MemoryReplica } from "./memory_replica.js";
import { MemoryServer } from "./memory_server.js";

function two(): { server: MemoryServer; mona: Session; tom: Session; replicas: [MemoryReplica, MemoryReplica] } {
  const server = new MemoryServer();
  const replicas: [MemoryReplica, MemoryReplica] = [
    new MemoryReplica(server, "user:mona").connect(),
    new MemoryReplica(server, "user:tom").connect(),
  ];
  return { server, mona: new Session(replicas[0]), tom: new Session(replicas[1]), replicas };
}

describe("posting", () => {
  it("shows a message at once, and its place and author when the server took it", async () => {
    const { mona, tom } = two();
    const posted = mona.post("Hello", { to: ["agent:planner"] });
    expect(mona.messages().map((view) => [view.text, view.seq])).toEqual([["Hello", null]]);
    const message = await posted;
    await message.synced();
    await mona.until(() => message.view.seq);
    expect(message.view).toMatchObject({ seq: 1, by: "user:mona", role: "user", to: ["agent:planner"], text: "Hello" });
    expect((await tom.until(() => tom.messages()[0] ?? null)).text).toBe("Hello");
    expect(tom.runs()).toMatchObject([{ agent: "agent:planner", status: "queued", message: message.id }]);
  });
});
