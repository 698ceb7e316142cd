/** What is told to whoever hears the page: others' messages and the ends of runs, once each. */

import { expect, test } from "vitest";
import type { Change } from "../../src/changes.js";
import { MessageView } from "../../src/transcript.js";
import { Heard } from "../../app/session/heard.js";

const message = (id: string, seq: number | null, by: string, role: "user" | "assistant" = "user") =>
  ({
    kind: "message",
    own: false,
    message: { id, seq, by, role, author: {} } as unknown as MessageView,
  }) as Change & { kind: "message" };
const run = (id: string, status: string, parentRun: string | null = null) =>
  ({
    kind: "run",
    own: false,
    run: { id, status, parentRun, agent: "agent:planner", ended: status === "completed" || status === "cancelled" },
  }) as unknown as Change & { kind: "run" };
const said = (heard: Heard, changes: readonly Change[]) => changes.map((change) => heard.words(change)).filter(Boolean);

test("a message of somebody else is told once, when it has its place; one's own is not, nor what was there", () => {
  const old = message("m1", 4, "user:theo").message;
  const heard = new Heard([old, message("m0", null, "user:mona").message], [], "user:mona");
  expect(
    said(heard, [
      message("m1", 4, "user:theo"),
      message("m2", null, "user:theo"),
      message("m2", 6, "user:theo"),
      message("m2", 6, "user:theo"),
      message("m3", 7, "user:mona"),
    ]),
  ).toEqual(["theo wrote"]);
});

test("of an answer its end is told, or that it waits, and nothing with each word", () => {
  const heard = new Heard([], [run("old", "completed").run], "user:mona");
  expect(
    said(heard, [
      run("old", "completed"),
      run("r1", "running"),
      message("a1", 3, "agent:planner", "assistant"),
      message("a1", 3, "agent:planner", "assistant"),
      run("r1", "suspended"),
      run("r1", "suspended"),
      run("below", "completed", "r1"),
      run("r1", "running"),
      run("r1", "completed"),
      run("r1", "completed"),
      { kind: "caught-up", count: 3, live: true },
    ]),
  ).toEqual(["planner: waiting", "planner: done"]);
});
