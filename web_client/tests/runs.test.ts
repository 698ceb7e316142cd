/** Runs: what Python reads from receipts and entries, and that only what changed is read again. */

import { describe, expect, it } from "vitest";
import * as Y from "yjs";
import type { Json, JsonMap } from "../src/core/messages.js";
import { Runs, runOfFact } from "../src/runs.js";
import { MessageView } from "../src/transcript.js";
import { golden } from "./golden.js";

interface Case {
  readonly name: string;
  readonly receipts: Record<string, JsonMap>;
  readonly entries: Record<string, JsonMap>;
  readonly run: JsonMap;
  readonly counts: readonly number[];
}

const { cases } = golden<{ cases: Case[] }>("runs.json");

function documentOf({ receipts, entries }: Pick<Case, "receipts" | "entries">): Y.Doc {
  const document = new Y.Doc();
  for (const [key, entry] of Object.entries(entries)) {
    const consumed = new Y.Map(Object.entries((entry["consumed"] ?? {}) as JsonMap));
    document.getMap("runs").set(key, new Y.Map<unknown>(Object.entries({ ...entry, consumed })));
  }
  for (const [key, receipt] of Object.entries(receipts)) document.getMap("receipts").set(key, receipt);
  return document;
}

function output(attempt: number): MessageView {
  return new MessageView("m", "assistant", {}, [], [], 0, "r", attempt, null, null, {}, null);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

describe("golden vectors", () => {
  it.each(cases)("$name: the run is Python's", (found) => {
    const document = documentOf(found);
    const runs = new Runs(() => document);
    const { madeAt: _, ...run } = runs.run("r")!;
    const fields = Object.entries(run as unknown as JsonMap).map(([name, value]): [string, Json] => [
      snake(name),
      value,
    ]);
    expect(Object.fromEntries(fields)).toEqual(found.run);
    expect([1, 2, 3, 4].filter((attempt) => !runs.superseded(output(attempt)))).toEqual(found.counts);
  });
});

describe("a message that names a run", () => {
  it("is superseded only where its agent wrote it", () => {
    const document = documentOf({
      receipts: { "r:r.0": { at: 1, agent: "agent:a", lease: "live", attempt: 1, since: 1 } },
      entries: {},
    });
    const runs = new Runs(() => document);
    const by = (subject: string) =>
      new MessageView("m", "assistant", {}, [], [], 0, "r", 9, null, null, {}, { seq: 1, by: subject, at: 0 });
    expect(["agent:a", "user:eve"].map((subject) => runs.superseded(by(subject)))).toEqual([true, false]);
  });
});

describe("views", () => {
  it("are the same objects until something of the run changed", () => {
    const live = { at: 1, agent: "agent:a", by: "user:mona", lease: "live", attempt: 1, since: 1 };
    const document = documentOf({ receipts: { "r:one.0": live, "r:two.0": live }, entries: {} });
    const runs = new Runs(() => document);
    const [one, two] = runs.runs();
    expect(runs.runs()).toBe(runs.runs());
    const spans = runs.spans;
    document.getMap("receipts").set("r:one.1", { ...live, lease: "suspended" });
    runs.touch([["receipts", "r:one.1"]]);
    expect(runs.run("one")?.status).toBe("suspended");
    expect(runs.run("one")).not.toBe(one);
    expect(runs.run("two")).toBe(two);
    expect(runs.spans).toBe(spans);
    document.getMap("receipts").set("r:one.2", { ...live, attempt: 2, since: 2 });
    runs.touch([["receipts", "r:one.2"]]);
    expect(runs.spans).toBeGreaterThan(spans);
  });

  it("never say that a run is over without why, in whatever order it is told of", () => {
    const fact = { at: 1, agent: "agent:a", by: "user:mona", lease: "live", attempt: 1, since: 1 };
    const document = documentOf({ receipts: { "r:r.0": fact }, entries: {} });
    const runs = new Runs(() => document);
    expect(runs.run("r")?.status).toBe("running");
    const error = { code: "c", message: "m" };
    document.getMap("runs").set("r_1", new Y.Map<unknown>(Object.entries({ status: "failed", error })));
    document.getMap("receipts").set("r:r.1", { ...fact, lease: "ended", status: "failed" });
    runs.touch([["receipts", "r:r.1"]]);
    expect(runs.run("r")).toMatchObject({ status: "failed", error });
  });

  it("are found by the keys of their facts alone", () => {
    expect(["r:a-b.0", "r:a.b.12", "m:x", "d:a-1_0"].map(runOfFact)).toEqual(["a-b", "a.b", "", ""]);
  });
});
