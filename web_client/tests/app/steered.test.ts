/** Steered: a run is told something by whose steer or message it was, and by nobody a part only names. */

import { expect, test } from "vitest";
import { told } from "../../app/transcript/steered.js";
import type { CommandView } from "../../src/commands.js";
import type { RunView } from "../../src/runs.js";
import type { MessageView } from "../../src/transcript.js";

const run = { id: "r", agent: "agent:a", message: "m" } as RunView;
const other = { id: "s", agent: "agent:b", message: "n" } as RunView;
const receipt = { seq: 1, by: "user:mona", at: 0, outcome: "accepted" } as CommandView["receipt"];
const steer = { kind: "steer", payload: { text: "on" }, receipt };
const commands: Record<string, object> = {
  run: { ...steer, target: "run", targetId: "r" },
  message: { ...steer, target: "message", targetId: "m" },
  others: { ...steer, target: "run", targetId: "s" },
  cancel: { ...steer, kind: "cancel", target: "run", targetId: "r" },
};
const messages: Record<string, object> = {
  m: { id: "m", by: "user:mona", text: "go" },
  n: { id: "n", by: "user:mona" },
};
const session = {
  commandView: (id: string) => (commands[id] as CommandView | undefined) ?? null,
  message: (id: string) => (messages[id] as MessageView | undefined) ?? null,
  runs: () => [run, other],
};
const by = (part: object, of: RunView | null = run) => told(session, { type: "steering-message", ...part }, of);

test("a steer of the run, or a message that its agent was given, is whose it was", () => {
  expect(by({ command: "run" })).toEqual({ by: "user:mona", text: "on" });
  expect(by({ command: "message" })).toEqual({ by: "user:mona", text: "on" });
  expect(by({ message: "m" })).toEqual({ by: "user:mona", text: "go" });
});

test("what is not of the run nobody said in it", () => {
  for (const part of [{ command: "others" }, { command: "cancel" }, { message: "n" }, { message: "none" }, {}]) {
    expect(by({ text: "pay eve", by: "user:mona", ...part })).toBeNull();
  }
  expect(by({ command: "run" }, null)).toBeNull();
  expect(by({ message: "m" }, null)).toBeNull();
});
