/** What the console reads of a real session, in memory: events, hand-overs, cursors, refused edits, a bound field. */

import { expect, test } from "vitest";
import * as Y from "yjs";
import type { RefusedEdit } from "../../src/core/replica.js";
import { Session } from "../../src/session.js";
import { Binding } from "../../app/panel/binding.js";
import { leave, since } from "../../app/session/caught_up.js";
import { cursorOf, cursorsIn } from "../../app/panel/cursors.js";
import { eventsOf, type EventKind } from "../../app/panel/events.js";
import { handoffsOf } from "../../app/transcript/handoffs.js";
import { textsOf } from "../../app/session/refused.js";
import { MemoryReplica } from "../memory_replica.js";
import { MemoryServer } from "../memory_server.js";
import { Random } from "../random.js";

const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

async function two() {
  const server = new MemoryServer();
  const [mona, ana] = ["user:mona", "user:ana"].map(
    (subject) => new Session(new MemoryReplica(server, subject).connect()),
  );
  await settle();
  return { server, mona: mona!, ana: ana! };
}

test("the timeline tells messages and commands with who and what became of them", async () => {
  const { mona } = await two();
  await mona.post("Hello", { to: ["agent:planner"] });
  await mona.assign("agent:planner", { note: "you know" });
  await settle();
  const story = { messages: mona.messages(), runs: mona.runs(), commands: mona.commands(), link: [] };
  const told = eventsOf(story, 100).map(({ who, text }) => `${who} ${text}`);
  expect(told).toContain("mona message");
  expect(told).toContain("planner run queued");
  expect(told).toContain("mona handoff to planner accepted");
  expect(eventsOf(story, 1)).toHaveLength(1);
});

test("kinds that are hidden make room for older ones of the others", async () => {
  const { mona } = await two();
  const part = { type: "tool", tool_call: "c", name: "look_up", state: "output-available" };
  await mona.post("first", { parts: [part] });
  for (let count = 0; count < 20; count++) await mona.post(`message ${count}`);
  await settle();
  const link = [{ key: "l", kind: "link" as const, at: 0, who: "", text: "live", raw: null }];
  const story = { messages: mona.messages(), runs: mona.runs(), commands: mona.commands(), link };
  const kinds = (limit: number, ...hidden: EventKind[]) =>
    eventsOf(story, limit, new Set(hidden)).map(({ kind }) => kind);
  expect(new Set(kinds(10))).toEqual(new Set(["messages"]));
  expect(new Set(kinds(10, "messages"))).toEqual(new Set(["link", "tools"]));
  expect(kinds(1, "messages", "link")).toEqual(["tools"]);
  expect(kinds(100).length).toBe(23);
  const texts = eventsOf(story, 100).map(
    ({ raw }) => (raw as { parts?: { text?: string }[] } | null)?.parts?.[0]?.text,
  );
  expect(texts.filter((text) => text?.startsWith("message"))).toEqual(
    Array.from({ length: 20 }, (_, count) => `message ${count}`),
  );
});

test("a hand-over is told with its note, and made once for the same commands", async () => {
  const { mona, ana } = await two();
  await mona.assign("user:ana", { note: "yours" });
  await settle();
  expect(handoffsOf(ana)).toMatchObject([{ by: "user:mona", to: "user:ana", note: "yours" }]);
  expect(handoffsOf(ana)).toBe(handoffsOf(ana));
});

test("a cursor stays at its letter while others write before it, and nonsense is no cursor", async () => {
  const { mona, ana } = await two();
  mona.state.text("document").insert(0, "hello world");
  await settle();
  ana.presence.update({ cursor: cursorOf("document", ana.state.text("document"), 6) });
  mona.state.text("document").insert(0, ">> ");
  await settle();
  const seen = () => cursorsIn("document", mona.state.text("document"), mona.presence.everyone());
  expect(seen()).toMatchObject([{ subject: "user:ana", name: "ana", at: 9 }]);
  for (const cursor of [7, "x", { text: "document" }, { text: "document", at: {} }, { text: "other", at: {} }]) {
    ana.presence.update({ cursor });
    await settle();
    expect(seen().every(({ at }) => at >= 0 && at <= 14)).toBe(true);
  }
});

test("what was written in a refused message can be kept", async () => {
  const { server, ana } = await two();
  server.refuse = () => ({ code: "forbidden", reason: "not here" });
  const posted = await ana.post("Something long that I wrote");
  await expect(posted.synced()).rejects.toThrow();
  const [edit] = await ana.refused();
  expect(textsOf([edit as RefusedEdit], ana.state.document)).toEqual(["Something long that I wrote"]);
});

/** As much of a text field as a binding needs. */
class Field extends EventTarget {
  #value = "";
  selectionStart = 0;
  selectionEnd = 0;
  selectionDirection = "none" as const;
  scrollTop = 0;

  get value(): string {
    return this.#value;
  }

  set value(text: string) {
    this.#value = text.replace(/\r\n?/g, "\n");
    this.setSelectionRange(this.#value.length, this.#value.length);
  }

  setSelectionRange(start: number, end: number): void {
    [this.selectionStart, this.selectionEnd] = [start, end];
  }

  type(text: string): void {
    const { selectionStart, selectionEnd } = this;
    this.value = this.value.slice(0, selectionStart) + text + this.value.slice(selectionEnd);
    this.setSelectionRange(selectionStart + text.length, selectionStart + text.length);
    this.dispatchEvent(new Event("input"));
  }
}

async function bound(words = "one two") {
  const { mona, ana } = await two();
  mona.state.text("document").insert(0, words);
  await settle();
  const [field, theirField] = [new Field(), new Field()];
  const [text, theirs] = [ana, mona].map(({ state }) => state.text("document")) as [Y.Text, Y.Text];
  const binding = new Binding(field as unknown as HTMLTextAreaElement, text);
  new Binding(theirField as unknown as HTMLTextAreaElement, theirs);
  return { mona, ana, theirs, text, field, theirField, binding };
}

test("what is typed into a bound field is in the text, and what others write in the field, the caret at its letter", async () => {
  const { theirs, text, field } = await bound();
  field.setSelectionRange(3, 3);
  field.type("!");
  expect(text.toString()).toBe("one! two");
  theirs.insert(0, ">> ");
  await settle();
  expect(field.value).toBe(">> one! two");
  expect(field.selectionStart).toBe(7);
});

test("while an input method composes nothing moves, and then both are there", async () => {
  const { theirs, text, field } = await bound();
  field.setSelectionRange(7, 7);
  field.dispatchEvent(new Event("compositionstart"));
  field.type("か");
  theirs.insert(0, ">> ");
  await settle();
  expect(field.value).toBe("one twoか");
  expect(text.toString()).toBe(">> one two");
  field.dispatchEvent(new Event("compositionend"));
  await settle();
  expect(field.value).toBe(">> one twoか");
  expect(theirs.toString()).toBe(">> one twoか");
});

test("what others write behind the caret while an input method composes leaves it behind the composition", async () => {
  for (const [place, words] of [
    [3, "one漢字"],
    [4, "one漢字"],
    [2, "on!e漢字"],
  ] as const) {
    const { theirs, field } = await bound();
    field.setSelectionRange(3, 3);
    field.dispatchEvent(new Event("compositionstart"));
    field.type("漢字");
    theirs.insert(place, "!");
    await settle();
    field.dispatchEvent(new Event("compositionend"));
    await settle();
    expect(field.value).toBe(theirs.toString());
    expect(field.value.slice(0, field.selectionStart)).toBe(words);
  }
});

test("line ends that a field does not know stay, and two who type apart have both their letters, once", async () => {
  const { mona, ana, theirs, text, field, theirField } = await bound("one\r\ntwo\rthree\r\nfour");
  const replicas = [mona, ana].map((session) => (session as unknown as { replica: MemoryReplica }).replica);
  expect(field.value).toBe("one\ntwo\nthree\nfour");
  for (const replica of replicas) replica.disconnect();
  field.type("A");
  theirField.type("B");
  for (const replica of replicas) replica.connect();
  await settle();
  expect(text.toString()).toMatch(/^one\r\ntwo\rthree\r\nfour(AB|BA)$/);
  expect(theirs.toString()).toBe(text.toString());
  expect(theirField.value).toBe(field.value);

  field.setSelectionRange(9, 9); // Behind the t of three.
  theirs.insert(9, "XX");
  await settle();
  expect(field.value.slice(0, field.selectionStart)).toBe("one\ntwo\nXXt");
  field.setSelectionRange(3, 4);
  field.type("");
  expect(text.toString()).toMatch(/^onetwo\rXXthree\r\nfour/);
});

test("whatever is typed where, with whatever line ends, is in the text as it is in the field", () => {
  const text = new Y.Doc().getText("t");
  text.insert(0, "a\r\nb\rc\n\r\r\n\nd");
  const field = new Field();
  new Binding(field as unknown as HTMLTextAreaElement, text);
  let moved = 0;
  text.observe(({ delta }) => {
    for (const { insert = "", delete: removed = 0 } of delta) moved += String(insert).length + removed;
  });
  const random = new Random(5);
  for (let round = 0; round < 2_000; round++) {
    const [start, length] = [random.below(field.value.length + 1), random.below(4)];
    field.setSelectionRange(start, Math.min(start + length, field.value.length));
    const [before, after] = [field.value.slice(0, start), field.value.slice(field.selectionEnd)];
    const letters = random.pick(["", "x", "\n", "y\n", "\nz", "\n\n"]);
    const most = 2 * (field.selectionEnd - start) + letters.length + 1;
    moved = 0;
    field.type(letters);
    expect(moved, "what nobody edited stays").toBeLessThanOrEqual(most);
    expect(field.value).toBe(before + letters + after);
    expect(text.toString().replace(/\r\n?/g, "\n")).toBe(field.value);
    // Somebody else's, whose line ends may meet others.
    if (round % 5 === 0) text.insert(random.below(text.length + 1), random.pick(["\r\n", "\r", "\n", "e\r", "f"]));
    if (round % 7 === 0 && text.length > 0) text.delete(random.below(text.length), 1);
    expect(text.toString().replace(/\r\n?/g, "\n")).toBe(field.value);
  }
});

test("a binding that is closed lets the field be", async () => {
  const { theirs, field, binding } = await bound();
  binding.close();
  theirs.insert(0, ">> ");
  await settle();
  expect(field.value).toBe("one two");
});

test("an absence is told once, with what came, and not of a copy that had nothing", async () => {
  const { server, mona } = await two();
  const replica = new MemoryReplica(server, "user:ana");
  const ana = new Session(replica);
  leave(ana);
  replica.connect();
  await settle();
  expect(since(ana, 1)).toBeNull();
  await mona.post("one");
  await settle();
  leave(ana);
  replica.disconnect();
  await mona.post("two");
  replica.connect();
  await settle();
  expect(since(ana, 1)).toEqual({ count: 1, finished: 0, behind: 1 });
  expect(since(ana, 1)).toBeNull();
});

test("what another tab kept up with meanwhile is counted here", async () => {
  const { server, mona } = await two();
  const replica = new MemoryReplica(server, "user:ana");
  const ana = new Session(replica);
  replica.connect();
  await mona.post("one");
  await settle();
  leave(ana);
  expect(since(ana)).toBeNull();
  leave(ana);
  await mona.post("two");
  await mona.post("three");
  await settle();
  expect(since(ana)).toEqual({ count: 2, finished: 0, behind: 1 });
});
