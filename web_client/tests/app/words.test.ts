/** Words: what the connection, runs and tool calls are said to be. */

import { expect, test } from "vitest";
import type { RunView } from "../../src/runs.js";
import { OFFLINE } from "../../src/core/status.js";
import { connection } from "../../app/session/connection.js";
import { failure, runWords } from "../../app/transcript/run_words.js";
import { elapsed } from "../../app/transcript/elapsed.js";
import { lasted } from "../../app/kit/times.js";
import { brief, toolPart, toolWords } from "../../app/transcript/tools.js";

const calm = { unsynced: 0, caughtUp: null, cut: false };
const live = { ...OFFLINE, link: "live" as const };

test("the connection is said in four words", () => {
  expect(connection(live, calm)).toMatchObject({ word: "Live", detail: "", tone: "ok" });
  expect(connection({ ...OFFLINE, link: "reconnecting", attempts: 3 }, calm).word).toBe("Reconnecting 3");
  expect(connection(OFFLINE, { ...calm, unsynced: 2 })).toMatchObject({
    word: "Offline",
    detail: "2 edits saved here",
  });
  expect(connection(live, { ...calm, caughtUp: 14 })).toMatchObject({ word: "Caught up", detail: "14 events" });
});

test("a refusal and a full server are said with what is kept here", () => {
  const refused = { ...OFFLINE, link: "refused" as const, code: 4401, reason: "bad token" };
  expect(connection(refused, { ...calm, unsynced: 1 })).toMatchObject({
    tone: "bad",
    detail: "bad token, 1 edit saved here",
  });
  expect(connection({ ...live, storageFull: true }, { ...calm, unsynced: 1 })).toMatchObject({
    word: "Server full",
    tone: "bad",
  });
});

test("a tab that was cut off is offline whatever its link says", () => {
  expect(connection(live, { ...calm, cut: true })).toMatchObject({ word: "Offline", tone: "warn" });
});

const run = (fields: Partial<RunView>) =>
  ({ status: "running", ended: false, cancelledBy: null, error: null, ...fields }) as RunView;
const now = { asks: false, offline: false };

test("a run at work can be stopped, a suspended one waits for somebody", () => {
  expect(runWords(run({}), now)).toMatchObject({ text: "running", stoppable: true, timed: true });
  expect(runWords(run({ status: "suspended" }), { ...now, asks: true })).toMatchObject({
    text: "waiting for you",
    stoppable: false,
  });
  expect(runWords(run({ status: "interrupted" }), now).tone).toBe("warn");
});

test("who stopped a run is said while it stops and after", () => {
  expect(runWords(run({ cancelledBy: "user:ana" }), now)).toMatchObject({
    text: "stopping, asked by ana",
    stoppable: false,
  });
  expect(runWords(run({ status: "cancelled", ended: true, cancelledBy: "user:ana" }), now).text).toBe("stopped by ana");
});

test("without a link a run is not said to be running now", () => {
  expect(runWords(run({}), { ...now, offline: true })).toMatchObject({
    text: "was running when last heard",
    timed: false,
  });
});

test("a failed run says why, in words also where there is only a code", () => {
  expect(failure(run({ status: "failed", error: { code: "x", message: "no key" } }))).toBe("no key");
  expect(failure(run({ status: "failed", error: { code: "expired", message: "" } }))).toBe("It was not done in time.");
  expect(failure(run({ status: "completed" }))).toBe("");
});

test("every state of a tool call has its words", () => {
  const say = (state: string, decision: Parameters<typeof toolWords>[1] = null, ended = false) =>
    toolWords(toolPart({ type: "tool", name: "t", tool_call: "r-1", state }), decision, ended);
  const yes = { kind: "approve", by: "user:mona", at: 1 };
  const no = { kind: "deny", by: "user:ana", at: 1, payload: { reason: "too dear" } };
  expect(say("input-streaming")).toMatchObject({ text: "is being called", busy: true });
  expect(say("input-available")).toMatchObject({ text: "running", busy: true });
  expect(say("approval-requested")).toMatchObject({ asks: true, tone: "warn" });
  expect(say("approval-requested", yes)).toMatchObject({ asks: false, text: "approved by mona" });
  expect(say("approval-requested", no)).toMatchObject({ asks: false, text: "denied by ana: too dear" });
  expect(say("approval-responded", yes).text).toBe("approved by mona, running");
  expect(say("output-available", yes).text).toBe("done, approved by mona");
  expect(say("output-error").tone).toBe("bad");
  expect(say("output-denied", no).text).toBe("denied by ana: too dear");
});

test("of a run that is over nothing is said to be under way, and nobody is asked", () => {
  for (const state of ["input-streaming", "input-available", "approval-requested", "approval-responded"]) {
    const words = toolWords(toolPart({ type: "tool", state }), null, true);
    expect(words).toMatchObject({ asks: false, busy: false });
  }
});

test("a tool part that holds nonsense is a tool all the same", () => {
  expect(toolPart({ name: 7, state: {}, error: { message: 1 }, deadline_at: "soon" })).toMatchObject({
    name: "tool",
    state: "",
    deadlineAt: 0,
  });
  expect(brief({ a: "x".repeat(1000) }).length).toBeLessThanOrEqual(401);
});

test("times are said as people say them", () => {
  expect([elapsed(42_000), elapsed(3_723_000), elapsed(-5)]).toEqual(["00:42", "1:02:03", "00:00"]);
  expect([lasted(1_240), lasted(42_000), lasted(200_000), lasted(7_200_000)]).toEqual([
    "1.2 s",
    "42 s",
    "3 min",
    "2 h",
  ]);
});
