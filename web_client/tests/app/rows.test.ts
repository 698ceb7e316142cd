/** Rows: what stands where on the screen. */

import { expect, test } from "vitest";
import type { BranchItem } from "../../src/branches.js";
import type { RunView } from "../../src/runs.js";
import { MessageView } from "../../src/transcript.js";
import { rowsOf, type Row } from "../../app/transcript/rows.js";

const AT = new Date(2026, 4, 1, 12).getTime();
const DAY = 86_400_000;

interface Fields {
  run?: string;
  role?: "user" | "assistant" | "system";
  at?: number;
  regenerate?: string;
  count?: number;
  by?: string;
}

function item(
  id: string,
  seq: number | null,
  { run, role = "user", at = AT, regenerate, count = 1, by = run ? "agent:planner" : "user:mona" }: Fields = {},
): BranchItem {
  const receipt = seq === null ? null : { seq, by, at };
  const metadata = regenerate ? { regenerate } : {};
  const message = new MessageView(
    id,
    run ? "assistant" : role,
    {},
    [],
    [],
    at,
    run ?? null,
    run ? 1 : null,
    null,
    null,
    metadata,
    receipt,
  );
  return { message, group: id, index: count, count, siblings: [id] };
}

function run(id: string, fields: Partial<RunView> = {}): RunView {
  const known = {
    id,
    agent: "agent:planner",
    status: "running",
    ended: false,
    attempt: 1,
    since: 1,
    message: null,
    parentRun: null,
  };
  return { ...known, task: null, cancelledBy: null, startedAt: AT, endedAt: null, ...fields } as RunView;
}

/** Rows as a text: `m1 r(a b) day`. */
function said(rows: readonly Row[]): string {
  return rows
    .map((row) => {
      if (row.kind === "message") return row.item.message.id;
      if (row.kind === "run") return `${row.run?.id ?? "?"}(${said(row.body)})`;
      return row.kind === "handoff" ? `to:${row.to}` : row.kind;
    })
    .join(" ");
}

test("the messages of one run stand in one card, at the place of its first", () => {
  const items = [item("q", 1), item("a", 2, { run: "r" }), item("x", 3), item("b", 4, { run: "r" })];
  expect(said(rowsOf(items, [run("r", { message: "q" })]))).toBe("q r(a b) x");
});

test("who names somebody else's run in a message speaks for themselves", () => {
  const eves = item("e", 2, { run: "r", by: "user:eve" });
  const items = [item("q", 1), eves, item("a", 3, { run: "r" }), item("x", 4, { run: "unknown" })];
  expect(said(rowsOf(items, [run("r", { message: "q" })]))).toBe("q e r(a) x");
  expect(said(rowsOf([item("q", 1), eves], [run("r", { message: "q" })]))).toBe("q e r()");
});

test("two runs at once never share a card", () => {
  const items = [item("q", 1), item("a", 2, { run: "r" }), item("b", 3, { run: "s" }), item("c", 4, { run: "r" })];
  expect(said(rowsOf(items, [run("r"), run("s")]))).toBe("q r(a c) s(b)");
});

test("a run that has said nothing yet stands at the live end", () => {
  const items = [item("q", 1), item("x", 2)];
  expect(said(rowsOf(items, [run("r", { message: "q", status: "queued" })]))).toBe("q x r()");
});

test("a run that ended without a word stands behind what it was for", () => {
  const items = [item("q", 1), item("x", 2)];
  expect(said(rowsOf(items, [run("r", { message: "q", status: "cancelled", ended: true })]))).toBe("q r() x");
});

test("a run of a branch that is not shown is not shown", () => {
  expect(said(rowsOf([item("q", 1)], [run("r", { message: "hidden" })]))).toBe("q");
});

test("a run that ended is not shown where what it said is on another branch", () => {
  const items = [item("q", 1), item("b", 3, { run: "s" })];
  const rows = (ended: boolean) => rowsOf(items, [run("r", { message: "q", ended }), run("s")], [], null, () => true);
  expect(said(rows(true))).toBe("q s(b)");
  expect(said(rows(false))).toBe("q s(b) r()");
});

test("a sub-run stands in the card of the run that made it", () => {
  const items = [item("q", 1), item("a", 2, { run: "r" }), item("b", 3, { run: "s" })];
  const runs = [run("r", { message: "q" }), run("s", { parentRun: "r", message: "a" })];
  expect(said(rowsOf(items, runs))).toBe("q r(a s(b))");
});

test("a sub-run whose parent is on a page before is shown by itself", () => {
  expect(said(rowsOf([item("b", 3, { run: "s" })], [run("r"), run("s", { parentRun: "r" })]))).toContain("s(b)");
});

test("a request for another answer is shown as the run that works on it, with its counter", () => {
  const request = item("again", 3, { role: "system", regenerate: "a", count: 2 });
  const waiting = rowsOf([item("q", 1), request], [run("r", { message: "again", status: "queued" })]);
  expect(said(waiting)).toBe("q r()");
  expect(waiting[1]).toMatchObject({ kind: "run", item: { count: 2 } });
  expect(said(rowsOf([item("q", 1), request], []))).toBe("q again");
});

test("a line parts days, and one stands where everything is new", () => {
  const items = [item("a", 1), item("b", 2, { at: AT + DAY }), item("c", 3, { at: AT + DAY })];
  expect(said(rowsOf(items, []))).toBe("a day b c");
  expect(said(rowsOf(items, [], [], 2))).toBe("a day b new c");
  expect(said(rowsOf(items, [], [], 3))).toBe("a day b c");
});

test("a hand-over stands at its place in the order", () => {
  const handoffs = [{ id: "h", seq: 2, by: "user:mona", to: "agent:planner", note: "" }];
  expect(said(rowsOf([item("a", 1), item("b", 3)], [], handoffs))).toBe("a to:agent:planner b");
  expect(said(rowsOf([item("a", 1)], [], handoffs))).toBe("a to:agent:planner");
});

test("messages that were not sent yet come last, as they are given", () => {
  expect(said(rowsOf([item("a", 1), item("mine", null)], [], [], 1))).toBe("a mine");
});
