/** Views: branches of a session as one person sees them, page by page, and what stays the same object. */

import { describe, expect, it, vi } from "vitest";
import type { View } from "../src/view.js";
import { pair } from "./pair.js";
import { MemoryReplica } from "./memory_replica.js";
import { MemoryRun } from "./memory_agent.js";

function shown(view: View): string[] {
  return view.items.map(({ message, index, count }) => message.text + (count > 1 ? ` ${index}/${count}` : ""));
}

describe("branches", () => {
  it("an edit stands in the message's place, and the old one comes back with all that followed it", async () => {
    const { mona, tom } = pair();
    const view = mona.view();
    const question = await view.post("Two days?", { to: ["agent:planner"] });
    const answer = await mona.post("Take the tram.", { role: "assistant", parent: question.id });
    await view.post("Thanks.");
    expect(mona.messages().at(-1)!.parent).toBe(answer.id);
    const edited = await view.edit(question.id, "Three days?");
    expect(shown(view)).toEqual(["Three days? 2/2"]);
    expect(edited.view).toMatchObject({ to: ["agent:planner"], forkOf: question.id, parent: null });
    expect(view.previous(edited.id)).toBe(question.id);
    expect(shown(view)).toEqual(["Two days? 1/2", "Take the tram.", "Thanks."]);
    expect(view.previous(question.id)).toBe(question.id);
    expect(view.next(question.id)).toBe(edited.id);
    view.select(answer.id);
    expect(shown(view)).toEqual(["Two days? 1/2", "Take the tram.", "Thanks."]);
    const again = mona.view({ selected: JSON.parse(JSON.stringify(view.selected)) as Record<string, string> });
    expect(shown(again)).toEqual(shown(view));
    await mona.synced();
    await tom.until(() => (tom.seq === 4 ? true : null));
    expect(shown(tom.view())).toEqual(["Three days? 2/2"]);
  });

  it("what is selected pins nothing above it that is shown anyway", async () => {
    const { mona } = pair();
    const view = mona.view();
    const question = await view.post("Two days?");
    const answer = await view.post("Tram.");
    view.select(answer.id);
    expect(view.selected).toEqual({ [answer.id]: answer.id });
    await mona.edit(question.id, "Three days?");
    expect(shown(view)).toEqual(["Three days? 2/2"]);
  });

  it("an answer that is asked for again is awaited in its place, then there", async () => {
    const { mona, server } = pair();
    const agent = new MemoryReplica(server, "agent:planner").connect();
    const view = mona.view();
    const question = await view.post("Two days?", { to: ["agent:planner"] });
    await question.synced();
    const run = await mona.until(() => mona.runs()[0] ?? null);
    const first = new MemoryRun(agent, run.id, 1, { message: question.id });
    const answer = first.begin();
    first.text("Tram.");
    first.end();
    await mona.until(() => (mona.message(answer)?.seq ? true : null));
    const request = await view.regenerate(answer);
    expect(request.view).toMatchObject({ role: "system", to: ["agent:planner"], metadata: { regenerate: answer } });
    expect(view.items.map((item) => [item.message.id, item.index])).toEqual([
      [question.id, 1],
      [request.id, 2],
    ]);
    await request.synced();
    const next = await mona.until(() => mona.runs()[1] ?? null);
    const second = new MemoryRun(agent, next.id, 1, { message: request.id });
    second.begin();
    second.text("Taxi.");
    second.end();
    await mona.until(() => (shown(view).at(-1) === "Taxi. 2/2" ? true : null));
    view.previous(view.items.at(-1)!.message.id);
    expect(shown(view)).toEqual(["Two days?", "Tram. 1/2"]);
  });

  it("output of an attempt that no longer counts goes when another takes over", async () => {
    const { mona, server } = pair();
    const agent = new MemoryReplica(server, "agent:planner").connect();
    const view = mona.view();
    const first = new MemoryRun(agent, "r", 1);
    first.begin();
    first.text("half a");
    await mona.until(() => (shown(view).join() === "half a" ? true : null));
    const second = new MemoryRun(agent, "r", 2);
    second.begin();
    second.text("whole");
    await mona.until(() => (shown(view).join() === "whole" ? true : null));
    expect(mona.messages().map((message) => [message.text, mona.superseded(message)])).toEqual([
      ["half a", true],
      ["whole", false],
    ]);
  });

  it("says what cannot be done", async () => {
    const { mona } = pair();
    const view = mona.view();
    const message = await view.post("x");
    await expect(mona.edit("nobody", "y")).rejects.toThrow(/no message nobody/);
    await expect(mona.edit(message.id, "")).rejects.toThrow(/a text or parts/);
    await expect(mona.regenerate(message.id)).rejects.toThrow(/edit it instead/);
    const answer = await mona.post("a", { role: "assistant" });
    await expect(mona.regenerate(answer.id)).rejects.toThrow(/no agent made/);
    const request = await mona.regenerate(answer.id, { to: "agent:planner" });
    await expect(mona.edit(request.id, "y")).rejects.toThrow(/nothing to edit/);
    expect(() => view.select("nobody")).toThrow(/no message nobody/);
    expect(() => view.next("nobody")).toThrow(/not among those shown/);
    expect(() => mona.view({ page: 0 })).toThrow(/at least one/);
  });
});

describe("pages", () => {
  it("begin with the newest, follow the live end, and reveal older ones once for two calls", async () => {
    const { mona } = pair();
    for (let at = 0; at < 10; at++) await mona.post(`m${at}`);
    const view = mona.view({ page: 3 });
    expect([shown(view), view.olderCount]).toEqual([["m7", "m8", "m9"], 7]);
    const [one, other] = await Promise.all([view.older(2), view.older(2)]);
    expect(one.map((item) => item.message.text)).toEqual(["m5", "m6"]);
    expect(other).toBe(one);
    await mona.post("m10");
    expect([shown(view), view.olderCount]).toEqual([["m5", "m6", "m7", "m8", "m9", "m10"], 5]);
    expect((await view.older(50)).length).toBe(5);
    expect([shown(view).length, view.olderCount]).toEqual([11, 0]);
    expect(await view.older(50)).toEqual([]);
    const following = mona.view({ page: 3 });
    await mona.post("m11");
    expect(shown(following)).toEqual(["m9", "m10", "m11"]);
  });

  it("of another branch are shown, though it lies before the beginning", async () => {
    const { mona } = pair();
    const first = await mona.post("first");
    for (let at = 0; at < 10; at++) await mona.post(`m${at}`);
    const view = mona.view({ page: 3 });
    await view.older(1);
    await view.edit(first.id, "again");
    expect(shown(view)).toEqual(["again 2/2"]);
  });
});

describe("what is drawn", () => {
  it("is the same object until it changed", async () => {
    const { mona } = pair();
    await mona.post("one");
    const stream = mona.stream();
    await mona.synced();
    await mona.until(() => (mona.seq === 2 ? true : null));
    const view = mona.view();
    const [items, messages] = [view.items, mona.messages()];
    mona.presence.update({ status: "typing" });
    mona.state.map("x").set("y", 1);
    expect([view.items === items, mona.messages() === messages]).toEqual([true, true]);
    stream.text("grows");
    await stream.flush();
    expect(view.items).not.toBe(items);
    expect([view.items[0] === items[0], view.items[1] === items[1]]).toEqual([true, false]);
    expect(view.items[1]!.message).toBe(mona.message(stream.id));
  });

  it("is told of: what comes, what is selected, what is revealed", async () => {
    const { mona } = pair();
    const view = mona.view({ page: 1 });
    const listener = vi.fn();
    const end = view.subscribe(listener);
    const message = await mona.post("one");
    await mona.post("two");
    await vi.waitFor(() => expect(listener).toHaveBeenCalled());
    await mona.synced();
    await mona.until(() => (mona.seq === 2 ? true : null));
    listener.mockClear();
    view.select(message.id);
    expect(listener).toHaveBeenCalledTimes(1);
    await view.older(1);
    expect(listener).toHaveBeenCalledTimes(2);
    end();
    view.select(message.id);
    expect(listener).toHaveBeenCalledTimes(2);
  });
});
