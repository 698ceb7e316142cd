/** A session on an in-memory replica: posting, reading, what is told, and what is refused. */

import { describe, expect, it, vi } from "vitest";
import { Attending, Attention } from "../src/attending.js";
import { LocalProtocolError, NotSynced } from "../src/core/errors.js";
import { Session } from "../src/session.js";
import { OFFLINE } from "../src/core/status.js";
import type { Change } from "../src/changes.js";
import { MemoryReplica } from "./memory_replica.js";
import { pair, texts } from "./pair.js";

describe("people", () => {
  it("are each once, this one too, and nobody before that is known", async () => {
    const { mona, tom, monas } = pair();
    expect(mona.people()).toEqual([]);
    const attention = new Attention();
    for (const session of [mona, tom]) session.follow(Attending, attention);
    tom.presence.update({ activity: "active" });
    const found = await mona.until(() => (mona.people()[0]?.status === "active" ? mona.people() : null));
    expect(found.map(({ subject, status, watching }) => [subject, status, watching])).toEqual([
      ["user:tom", "active", true],
      ["user:mona", "away", false],
    ]);
    expect(mona.people()).toBe(found);
    monas.disconnect();
    // Losing one's own link is no reason to think that others left.
    expect(mona.people().map(({ status, watching }) => [status, watching])[0]).toEqual(["active", false]);
    attention.close();
    await Promise.all([mona.close(), tom.close()]);
  });
});

describe("posting", () => {
  it("shows a message at once, and its place and author when the server took it", async () => {
    const { mona, tom } = pair();
    const posted = mona.post("Hello", { to: ["agent:planner"], metadata: { mood: "good" } });
    expect(mona.messages().map((view) => [view.text, view.seq, view.by])).toEqual([["Hello", null, null]]);
    const message = await posted;
    await message.synced();
    await mona.until(() => message.view.seq);
    expect(message.view).toMatchObject({ seq: 1, by: "user:mona", role: "user", to: ["agent:planner"], text: "Hello" });
    expect(message.view.author).toEqual({ kind: "user", name: "mona" });
    expect(message.view.metadata).toEqual({ mood: "good" });
    expect((await tom.until(() => tom.messages()[0] ?? null)).text).toBe("Hello");
  });

  it("works without a link, in the order it was written, and merges when there is one again", async () => {
    const { mona, tom, monas, toms } = pair();
    monas.disconnect();
    await mona.post("one");
    await mona.post("two");
    await (await tom.post("meanwhile")).synced();
    expect(texts(mona)).toEqual(["one", "two"]);
    expect(mona.unsynced).toBe(2);
    const whole = mona.synced();
    monas.connect();
    await whole;
    await tom.until(() => (tom.messages().length === 3 ? true : null));
    await mona.until(() => (mona.messages().every((view) => view.seq !== null) ? true : null));
    expect(texts(mona)).toEqual(["meanwhile", "one", "two"]);
    expect(texts(tom)).toEqual(texts(mona));
    expect([mona.unsynced, mona.seq, toms.unsynced]).toEqual([0, 3, 0]);
  });

  it("has its work over by a time of the author's clock", async () => {
    const { monas } = pair();
    const mona = new Session(monas, { now: () => 1000 });
    const message = await mona.post("soon", { expiresInMs: 50 });
    expect([message.view.createdAt, message.view.expiresAt]).toEqual([1000, 1050]);
  });

  it.each([
    ["nothing", "", {}, /holds a text or parts/],
    ["a subject that is none", "x", { to: ["planner"] }, /not a subject/],
    ["a parent that is no id", "x", { parent: "a b" }, /not an id/],
    ["NaN", "x", { metadata: { x: Number.NaN } }, /NaN/],
    ["half a character", "\ud83d", {}, /surrogate/],
    ["what is no JSON", "x", { metadata: { x: new Date(0) as unknown as string } }, /not JSON/],
  ])("refuses %s, and writes nothing", async (_, text, options, why) => {
    const { mona, monas } = pair();
    await expect(mona.post(text, options)).rejects.toThrow(why);
    await expect(mona.post(text, options)).rejects.toBeInstanceOf(LocalProtocolError);
    expect(monas.made).toEqual([]);
  });

  it("says what the grant does not allow", async () => {
    const { server } = pair();
    const reader = new Session(new MemoryReplica(server, "user:zoe", { rights: [] }).connect());
    await expect(reader.post("x")).rejects.toMatchObject({ code: "forbidden" });
  });
});

describe("refused edits", () => {
  it("leave the document, are kept, and whoever waits for them is told", async () => {
    const { server, mona } = pair();
    await (await mona.post("before")).synced();
    server.refuse = () => ({ code: "session_full", reason: "full" });
    const changes = mona.changes();
    const message = await mona.post("too much");
    await expect(message.synced()).rejects.toMatchObject({ name: "NotSynced", code: "session_full" });
    await expect(message.synced()).rejects.toBeInstanceOf(NotSynced);
    expect(texts(mona)).toEqual(["before"]);
    expect(() => message.view).toThrow(/session\.refused/);
    expect(await mona.refused()).toMatchObject([{ code: "session_full", reason: "full", layer: "transcript" }]);
    await mona.dropRefused();
    expect(await mona.refused()).toEqual([]);
    const kinds = [];
    for await (const change of changes) {
      kinds.push(change.kind);
      if (change.kind === "refused") break;
    }
    expect(kinds).toContain("refused");
  });
});

describe("reading", () => {
  it("pages through what has a place, and finds words in any case and accent", async () => {
    const { mona } = pair();
    for (const text of ["Zwei Tage in Lissabon", "Ärger im Café", "lisbon or Porto", "no"]) await mona.post(text);
    await mona.synced();
    await mona.until(() => (mona.seq === 4 ? true : null));
    const page = mona.history({ limit: 2 });
    expect(page.map((view) => view.seq)).toEqual([3, 4]);
    expect(mona.history({ limit: 2, before: page[0]!.seq! }).map((view) => view.seq)).toEqual([1, 2]);
    expect(mona.history({ limit: 0 })).toEqual([]);
    const found = async (query: string) => (await mona.search(query)).map((view) => view.seq);
    expect(await found("li")).toEqual([3, 1]);
    expect(await found("porto lisb")).toEqual([3]);
    expect(await found("lisb porto")).toEqual([]);
    expect(await found("cafe arger")).toEqual([2]);
    expect(await found(" ?! ")).toEqual([]);
  });

  it("moves how far a subject has read, never back, and everybody sees it", async () => {
    const { mona, tom } = pair();
    await (await mona.post("one")).synced();
    await tom.until(() => (tom.seq === 1 ? true : null));
    await tom.markRead();
    expect(tom.reads()).toEqual(new Map([["user:tom", 1]]));
    await mona.until(() => mona.reads().get("user:tom") ?? null);
    await tom.markRead(0);
    expect(tom.reads().get("user:tom")).toBe(1);
    expect(tom.reads()).toBe(tom.reads());
  });
});

describe("telling", () => {
  it("calls a listener once for what came at once, whatever another one does", async () => {
    const { mona } = pair();
    const listener = vi.fn();
    const report = vi.fn();
    vi.stubGlobal("reportError", report); // Which Node does not have.
    const endOther = mona.subscribe(() => {
      throw new Error("mine");
    });
    const end = mona.subscribe(listener);
    const version = mona.version;
    mona.state.map("a").set("x", 1);
    mona.state.map("a").set("y", 2);
    expect(listener).not.toHaveBeenCalled();
    expect(mona.version).toBeGreaterThan(version);
    await Promise.resolve();
    expect(listener).toHaveBeenCalledTimes(1);
    expect(report).toHaveBeenCalledExactlyOnceWith(new Error("mine"));
    vi.unstubAllGlobals();
    endOther();
    end();
  });

  it("gives changes in order, first caught-up, each thing once and as it is when it is read", async () => {
    const { mona, tom } = pair();
    const changes = tom.changes();
    const message = await mona.post("one");
    await message.synced();
    const stream = mona.stream();
    for (const token of ["Take ", "the ", "tram."]) {
      stream.text(token);
      await stream.flush();
    }
    await stream.close();
    await tom.until(() => (tom.messages().at(-1)?.text === "Take the tram." ? true : null));
    await tom.markRead();
    const seen: Change[] = [];
    for await (const change of changes) {
      seen.push(change);
      if (change.kind === "read") break;
    }
    const told = seen.map((change) => (change.kind === "message" ? [change.message.text, change.own] : change.kind));
    expect(told).toEqual(["caught-up", ["one", false], ["Take the tram.", false], "read"]);
    expect(seen[0]).toMatchObject({ live: false, count: 0 });
    expect((await changes.next()).done).toBe(true);
  });

  it("says how much came while it was away, and that it is live", async () => {
    const { mona, tom, toms } = pair();
    toms.disconnect();
    await (await mona.post("one")).synced();
    await (await mona.post("two")).synced();
    const changes = tom.changes();
    expect((await changes.next()).value).toEqual({ kind: "caught-up", count: 0, live: false });
    toms.connect();
    const kinds: unknown[] = [];
    for await (const change of changes) {
      kinds.push(change.kind === "caught-up" ? change : change.kind);
      if (change.kind === "caught-up") break;
    }
    expect(kinds.at(-1)).toEqual({ kind: "caught-up", count: 2, live: true });
    expect(kinds).toContain("message");
    expect((await tom.changes().next()).value).toEqual({ kind: "caught-up", count: 2, live: true });
    toms.disconnect();
    expect((await tom.changes().next()).value).toEqual({ kind: "caught-up", count: 2, live: false });
  });
});

describe("presence", () => {
  it("is everybody else, merged field by field, and goes with the link", async () => {
    const { mona, tom, toms, monas } = pair();
    expect(mona.presence.everyone()).toMatchObject([{ subject: "user:tom", state: {} }]);
    tom.presence.update({ status: "typing", cursor: 17 });
    await mona.until(() => (mona.presence.everyone()[0]!.state as { cursor?: number }).cursor ?? null);
    tom.presence.update({ status: null });
    await mona.until(() => ("status" in (mona.presence.everyone()[0]!.state as object) ? null : true));
    expect(mona.presence.everyone()).toMatchObject([{ state: { cursor: 17 } }]);
    expect(mona.presence.everyone()).toBe(mona.presence.everyone());
    expect(() => tom.presence.update({ big: "x".repeat(5000) })).toThrow(/4096 bytes/);
    expect(tom.presence.mine).toEqual({ cursor: 17 });
    const changes = mona.changes();
    toms.disconnect();
    for await (const change of changes) {
      if (change.kind !== "presence") continue;
      expect(change.entry).toMatchObject({ subject: "user:tom", state: null });
      break;
    }
    monas.disconnect();
    expect(mona.presence.everyone()).toEqual([]);
  });
});

describe("what is read twice", () => {
  it("is the same object until it changed, also where the replica makes it anew each time", async () => {
    const { mona, monas } = pair();
    const fresh = vi.spyOn(monas, "status", "get").mockImplementation(() => ({ ...OFFLINE, link: "live" }));
    const { status } = mona;
    expect(mona.status).toBe(status);
    fresh.mockImplementation(() => ({ ...OFFLINE, link: "reconnecting" }));
    expect(mona.status).toMatchObject({ link: "reconnecting" });
    const rights = vi.spyOn(monas, "rights", "get").mockImplementation(() => new Set(["state"]));
    const first = mona.rights;
    expect(mona.rights).toBe(first);
    rights.mockImplementation(() => new Set(["command"]));
    expect(mona.rights).toEqual(new Set(["command"]));
    expect([mona.runs() === mona.runs(), mona.commands() === mona.commands()]).toEqual([true, true]);
  });
});

describe("closing", () => {
  it("ends the changes, tells whoever waits, and refuses to write", async () => {
    const { monas } = pair();
    const onClose = vi.fn();
    const mona = new Session(monas, { onClose });
    const changes = mona.changes();
    await changes.next();
    const waiting = mona.until(() => null);
    const ended = expect(waiting).rejects.toMatchObject({ code: "closed" });
    await Promise.all([mona.close(), mona.close()]);
    await ended;
    expect((await changes.next()).done).toBe(true);
    expect([onClose.mock.calls.length, monas.closed]).toEqual([1, true]);
    await expect(mona.post("x")).rejects.toMatchObject({ code: "closed" });
    await expect(mona.until(() => null)).rejects.toMatchObject({ code: "closed" });
  });
});
