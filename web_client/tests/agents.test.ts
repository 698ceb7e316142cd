/** Agents from a person's side: runs, commands with their outcomes, approvals, hand-over, and what a list shows. */

import * as Y from "yjs";
import { describe, expect, it } from "vitest";
import { TimedOut } from "../src/core/errors.js";
import { Session } from "../src/session.js";
import { summarize } from "../src/summary.js";
import { MemoryReplica } from "./memory_replica.js";
import { MemoryRun } from "./memory_agent.js";
import { pair } from "./pair.js";
import type { Pair } from "./pair.js";

async function working(): Promise<Pair & { run: MemoryRun; agent: MemoryReplica }> {
  const found = pair();
  const agent = new MemoryReplica(found.server, "agent:planner").connect();
  const question = await found.mona.post("Two days?", { to: ["agent:planner"] });
  await question.synced();
  const { id } = await found.mona.until(() => found.mona.runs()[0] ?? null);
  expect(found.mona.run(id)).toMatchObject({ status: "queued", message: question.id, by: "user:mona", attempt: 0 });
  const run = new MemoryRun(agent, id, 1, { message: question.id });
  run.begin();
  await found.mona.until(() => (found.mona.run(id)?.status === "running" ? true : null));
  return { ...found, run, agent };
}

describe("commands", () => {
  it("have one outcome that everybody sees", async () => {
    const { mona, tom, run } = await working();
    const cancel = await mona.cancel({ run: run.run }, { expiresInMs: 60_000 });
    expect(await cancel.outcome()).toBe("accepted");
    expect(await (await tom.cancel({ run: run.run })).outcome()).toBe("duplicate");
    run.end("cancelled");
    await tom.until(() => (tom.run(run.run)?.ended ? true : null));
    expect(await (await tom.cancel({ run: run.run })).outcome()).toBe("late");
    expect(await (await tom.cancel({ run: "nothing" })).outcome()).toBe("denied");
    expect(tom.commands().map((command) => [command.kind, command.target, command.receipt?.outcome])).toEqual([
      ["cancel", "run", "accepted"],
      ["cancel", "run", "duplicate"],
      ["cancel", "run", "late"],
      ["cancel", "run", "denied"],
    ]);
    expect(tom.commands()[0]!.expiresAt! - tom.commands()[0]!.at).toBe(60_000);
    expect(mona.run(run.run)).toMatchObject({ status: "cancelled", cancelledBy: "user:mona", ended: true });
  });

  it("wait for the network, and say so in time", async () => {
    const { mona, monas, run } = await working();
    monas.disconnect();
    const steer = await mona.steer("Mother does not walk far", { run: run.run, interrupt: true });
    await expect(steer.outcome({ timeoutMs: 5 })).rejects.toBeInstanceOf(TimedOut);
    expect(mona.commandView(steer.id)).toMatchObject({
      kind: "steer",
      payload: { text: "Mother does not walk far", interrupt: true },
      receipt: null,
    });
    monas.connect();
    expect(await steer.outcome()).toBe("accepted");
  });

  it("that steer say whether they were used", async () => {
    const { mona, run } = await working();
    const used = await mona.steer("shade", { run: run.run });
    const consumed = used.consumed();
    await used.outcome();
    run.set({ consumed: { [used.id]: 5 } });
    expect(await consumed).toBe(true);
    const unused = await mona.steer("late", { run: run.run });
    await unused.outcome();
    run.end();
    expect(await unused.consumed({ timeoutMs: 5000 })).toBe(false);
    const refused = await mona.steer("after", { run: run.run });
    expect(await refused.consumed()).toBe(false);
  });

  it("name exactly one target, and hold JSON", async () => {
    const { mona } = pair();
    await expect(mona.command("cancel", {})).rejects.toThrow(/one target/);
    await expect(mona.command("cancel", { run: "a", message: "b" })).rejects.toThrow(/one target/);
    await expect(mona.command("reboot" as "cancel", { run: "a" })).rejects.toThrow(/is none of/);
    await expect(mona.approve("a-1", { x: Number.NaN })).rejects.toThrow(/NaN/);
  });
});

describe("approvals", () => {
  it("wait for the first decision, on any device", async () => {
    const { mona, tom, run } = await working();
    const toolCall = `${run.run}-1_0`;
    const change = run.part({ type: "tool", name: "book", tool_call: toolCall, state: "approval-requested" });
    await mona.until(() => mona.approvals()[0] ?? null);
    expect(mona.approvals()).toMatchObject([{ toolCall, part: 0, run: { id: run.run } }]);
    expect([mona.summary().needsYou, mona.decision(toolCall)]).toEqual([true, null]);
    const [approve, deny] = await Promise.all([tom.approve(toolCall, { seats: 2 }), mona.deny(toolCall, "too dear")]);
    const outcomes = await Promise.all([approve.outcome(), deny.outcome()]);
    expect(outcomes.toSorted()).toEqual(["accepted", "late"]);
    await mona.until(() => mona.decision(toolCall));
    expect(mona.decision(toolCall)).toMatchObject({ kind: "approve", by: "user:tom", payload: { seats: 2 } });
    expect([mona.approvals(), mona.summary().needsYou]).toEqual([[], false]);
    change({ state: "output-available", output: "booked" });
  });

  it("of runs that are over, or by somebody who only names the run, are none", async () => {
    const { mona, run, tom, toms, server } = await working();
    const forged: { attempt: number } & MemoryRun = new MemoryRun(toms, run.run, 7, {});
    forged.attempt = 1; // As the message claims; its entry is under another key.
    forged.begin();
    forged.part({ type: "tool", name: "book", tool_call: `${run.run}-9`, state: "approval-requested" });
    await tom.synced();
    const evil = new MemoryRun(new MemoryReplica(server, "agent:evil").connect(), "evils", 1);
    evil.begin();
    evil.part({ type: "tool", name: "coffee", tool_call: `${run.run}-1`, state: "approval-requested" });
    await mona.until(() => mona.messagesOf("evils")[0]?.parts[0] ?? null);
    expect(mona.approvals()).toEqual([]);
    run.part({ type: "tool", name: "book", tool_call: `${run.run}-1`, state: "approval-requested" });
    await mona.until(() => mona.approvals()[0] ?? null);
    expect(mona.approvals().map(({ toolCall, run: { agent } }) => [toolCall, agent])).toEqual([
      [`${run.run}-1`, "agent:planner"],
    ]);
    expect(mona.messagesOf(run.run).map((message) => message.by)).toEqual(["agent:planner"]);
    const eves = mona.messages().filter((message) => message.run === run.run && message.by === "user:tom");
    expect(eves.map((message) => mona.outputOf(message))).toEqual([null]);
    run.end();
    await mona.until(() => (mona.run(run.run)?.ended ? true : null));
    expect(mona.approvals()).toEqual([]);
  });
});

describe("hand-over", () => {
  it("says who is responsible; a message to nobody is then theirs", async () => {
    const { mona, tom } = pair();
    expect([mona.responsible, tom.summary().needsYou]).toEqual([null, false]);
    await (await mona.handoff("user:tom", { note: "I am in the air" })).outcome();
    await tom.until(() => tom.responsible);
    expect(tom.handover()).toMatchObject({ to: "user:tom", by: "user:mona", note: "I am in the air" });
    expect([tom.summary().needsYou, mona.summary().needsYou]).toEqual([true, false]);
    await (await tom.assign("agent:planner")).outcome();
    await tom.until(() => (tom.responsible === "agent:planner" ? true : null));
    await (await tom.post("Go on then")).synced();
    expect(await tom.until(() => tom.runs()[0] ?? null)).toMatchObject({ agent: "agent:planner", status: "queued" });
    const changes = mona.changes();
    await changes.next();
    await (await tom.assign("user:mona")).outcome();
    for await (const change of changes) {
      if (change.kind !== "assigned") continue;
      expect(change).toMatchObject({ to: "user:mona", by: "user:tom" });
      break;
    }
  });
});

describe("summaries", () => {
  it("say what is new, who is at work and what waits, from the documents alone", async () => {
    const { mona, tom, toms, run } = await working();
    run.text("Tram.");
    await tom.post("First\nsecond line");
    await tom.synced();
    await mona.until(() => (mona.messages().length === 3 ? true : null));
    expect(mona.summary()).toMatchObject({
      session: "trip",
      title: "Two days?",
      unread: 2,
      needsYou: false,
      running: ["agent:planner"],
      unsynced: 0,
    });
    expect(mona.summary().lastAt).toBe(mona.messages().at(-1)!.receipt!.at);
    await mona.markRead();
    expect(mona.summary().unread).toBe(0);
    tom.state.map("session").set("title", " Lisbon ");
    run.end();
    await tom.synced();
    await tom.until(() => (tom.run(run.run)?.ended ? true : null));
    const onlooker = { session: "trip", subject: "user:tom", unsynced: 4, mayDecide: true };
    const loaded = summarize(onlooker, toms.document("transcript"), toms.document("state"));
    expect(loaded).toEqual({ ...tom.summary(), unsynced: 4 });
    expect(loaded).toMatchObject({ title: "Lisbon", running: [], unread: 2 });
    // Also where nobody asked yet for the state's root as a map, as when it comes while the session is open.
    const untyped = new Y.Doc();
    Y.applyUpdate(untyped, Y.encodeStateAsUpdate(toms.document("state")));
    expect(summarize(onlooker, toms.document("transcript"), untyped).title).toBe("Lisbon");
  });

  it("are named by what a person wrote, and count no request for another answer", async () => {
    const { server, mona, tom } = pair();
    const agent = new Session(new MemoryReplica(server, "agent:planner").connect());
    await (await agent.post("A prompt of mine")).synced();
    await (await tom.post("Two days?")).synced();
    const answer = await agent.post("Tram.", { role: "assistant" });
    await answer.synced();
    await tom.until(() => (tom.messages().length === 3 ? true : null));
    await (await tom.regenerate(answer.id, { to: "agent:planner" })).synced();
    await mona.until(() => (mona.messages().length === 4 ? true : null));
    expect(mona.summary()).toMatchObject({ title: "Two days?", unread: 3 });
  });

  it("of an empty session are empty", () => {
    const { mona } = pair();
    expect(mona.summary()).toEqual({
      session: "trip",
      title: "",
      lastAt: 0,
      unread: 0,
      needsYou: false,
      running: [],
      unsynced: 0,
    });
  });
});
