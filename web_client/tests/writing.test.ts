/** What is written into a transcript: own entries that refer to nobody else's, and streams in segments. */

import { describe, expect, it } from "vitest";
import * as Y from "yjs";
import { Session } from "../src/session.js";
import { MemoryReplica } from "./memory_replica.js";
import { pair, texts } from "./pair.js";
import { writeAll } from "./written.js";

/** Every reference of an update's structs, and its deletions. */
function references(update: Uint8Array): {
  clients: Set<number>;
  parents: Set<string>;
  right: number;
  deleted: number;
} {
  const { structs, ds } = Y.decodeUpdate(update);
  const found = { clients: new Set<number>(), parents: new Set<string>(), right: 0, deleted: ds.clients.size };
  for (const struct of structs) {
    if (!(struct instanceof Y.Item)) throw new Error("neither a gap nor what is collected is ever pushed");
    found.clients.add(struct.id.client);
    if (struct.origin !== null) found.clients.add(struct.origin.client);
    if (struct.rightOrigin !== null) found.right++;
    const parent = struct.parent as unknown;
    if (typeof parent === "string") found.parents.add(parent);
    else if (parent instanceof Y.ID) found.clients.add(parent.client);
  }
  return found;
}

describe("the author rule", () => {
  it("holds for all that a session writes, two people at once", async () => {
    const { mona, tom, monas, toms } = pair();
    for (let round = 0; round < 2; round++) {
      await Promise.all([writeAll(mona), writeAll(tom)]);
      await Promise.all([mona.synced(), tom.synced()]);
    }
    for (const replica of [monas, toms]) {
      const own = replica.document("transcript").clientID;
      expect(replica.made.length).toBeGreaterThan(50);
      for (const { update } of replica.made) {
        const { clients, parents, right } = references(update);
        expect([...clients]).toEqual([own]);
        expect([...parents].every((root) => ["messages", "commands", "reads"].includes(root))).toBe(true);
        expect(right).toBe(0);
      }
    }
  });

  it("what is deleted is one's own older word alone: a read that moves, a part's state", async () => {
    const { mona, monas } = pair();
    await mona.post("x");
    await mona.markRead(1);
    expect(monas.made.map(({ update }) => references(update).deleted)).toEqual([0, 0]);
    await mona.markRead(2);
    const stream = mona.stream();
    stream.text("x");
    await stream.close();
    const own = monas.document("transcript").clientID;
    for (const { update } of monas.made) {
      for (const client of Y.decodeUpdate(update).ds.clients.keys()) expect(client).toBe(own);
    }
    expect(monas.made.filter(({ update }) => references(update).deleted > 0)).toHaveLength(2);
  });

  it("another device of the same person moves the same read on", async () => {
    const { server, mona, tom, monas } = pair();
    await mona.markRead(1);
    await mona.synced();
    const phone = new Session(new MemoryReplica(server, "user:mona", { device: "phone" }).connect());
    await phone.markRead(5);
    await tom.until(() => (tom.reads().get("user:mona") === 5 ? true : null));
    expect(monas.document("transcript").getMap("reads").size).toBe(1);
  });
});

describe("streams", () => {
  it("grow for others while they are written, and are done when they are closed", async () => {
    const { mona, tom } = pair();
    const stream = mona.stream({ to: ["user:tom"] });
    stream.reasoning("Hm. ");
    stream.text("Take ");
    stream.text("the tram.");
    const view = await tom.until(() => tom.messages().find((message) => message.text !== "") ?? null);
    expect([view.text, view.streaming, view.role, view.seq]).toEqual(["Take the tram.", true, "assistant", 1]);
    expect(view.parts.map((part) => [part.type, part["state"]])).toEqual([
      ["reasoning", "done"],
      ["text", "streaming"],
    ]);
    stream.part({ type: "source-url", url: "https://example.com" });
    stream.text("And walk.");
    await stream.close();
    await stream.close();
    const done = await tom.until(() => (tom.message(stream.id)!.streaming ? null : tom.message(stream.id)));
    expect(done!.parts.map((part) => [part["id"], part.type, part["text"] ?? part["url"]])).toEqual([
      ["0", "reasoning", "Hm. "],
      ["1", "text", "Take the tram."],
      ["2", "source-url", "https://example.com"],
      ["3", "text", "And walk."],
    ]);
    expect(done!.text).toBe("Take the tram.\n\nAnd walk.");
    expect(() => stream.text("more")).toThrow(/is closed/);
  });

  it("cut long texts into segments that no reader sees, never within a character", async () => {
    const { mona, monas, tom } = pair();
    const emoji = `x${"🙂".repeat(12_345)}`;
    const whole = await mona.post(emoji);
    const stream = mona.stream();
    for (let at = 0; at < 40; at++) stream.text(`${at} ${"é".repeat(1023)}🙂`);
    await stream.close();
    await Promise.all([mona.synced(), stream.synced()]);
    await tom.until(() => (tom.message(stream.id)?.streaming === false ? true : null));
    for (const session of [mona, tom]) {
      expect(session.message(whole.id)!.text).toBe(emoji);
      expect(session.message(stream.id)!.text).toBe(
        Array.from({ length: 40 }, (_, at) => `${at} ${"é".repeat(1023)}🙂`).join(""),
      );
    }
    const raw = monas.document("transcript").getMap("messages");
    for (const id of [whole.id, stream.id]) {
      const part = ((raw.get(id) as Y.Map<unknown>).get("parts") as Y.Array<Y.Map<unknown>>).get(0);
      const pieces = [part.get("text") as Y.Text, ...(part.get("more") as Y.Array<Y.Text>)];
      expect(pieces.length).toBeGreaterThan(2);
      for (const piece of pieces) expect(piece.length).toBeLessThanOrEqual(8193);
    }
  });

  it("several at once stay apart", async () => {
    const { mona, tom } = pair();
    const streams = [mona.stream(), mona.stream()];
    for (let at = 0; at < 20; at++) for (const [number, stream] of streams.entries()) stream.text(`${number}`);
    await Promise.all(streams.map((stream) => stream.close()));
    await tom.until(() => (tom.messages().filter((view) => !view.streaming).length === 2 ? true : null));
    expect(texts(tom)).toEqual(["0".repeat(20), "1".repeat(20)]);
  });

  it("whose message was refused say so", async () => {
    const { server, mona } = pair();
    server.refuse = () => ({ code: "session_full", reason: "full" });
    const stream = mona.stream();
    await expect(stream.synced()).rejects.toMatchObject({ code: "session_full" });
    stream.text("more");
    await expect(stream.close()).rejects.toMatchObject({ code: "gone" });
  });
});
