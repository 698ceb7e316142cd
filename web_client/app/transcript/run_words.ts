/** Runs in words: how a run stands, and how it ended. Pure. */

import type { RunView } from "../../src/runs.js";
import { nameOf } from "../people/names.js";
import { lasted } from "../kit/times.js";

export interface RunWords {
  readonly text: string;
  readonly tone: "dim" | "ok" | "warn" | "bad";
  /** It can be stopped: something is under way. */
  readonly stoppable: boolean;
  /** A clock runs beside it. */
  readonly timed: boolean;
}

/** What a card says. `asks`: that a tool call in it needs an answer. `offline`: that what is known may be old. */
export function runWords(run: RunView, { asks, offline }: { asks: boolean; offline: boolean }): RunWords {
  const asked = run.cancelledBy && !run.ended;
  if (asked)
    return { text: `stopping, asked by ${nameOf(run.cancelledBy!)}`, tone: "warn", stoppable: false, timed: false };
  switch (run.status) {
    case "queued":
      return { text: "waits for a worker", tone: "dim", stoppable: true, timed: false };
    case "running":
      return offline
        ? { text: "was running when last heard", tone: "dim", stoppable: true, timed: false }
        : { text: "running", tone: "dim", stoppable: true, timed: true };
    case "suspended":
      return { text: asks ? "waiting for you" : "waiting", tone: "warn", stoppable: false, timed: false };
    case "interrupted":
      return { text: "lost its worker, goes on when one is back", tone: "warn", stoppable: true, timed: false };
    case "completed":
      return { text: `done${took(run)}`, tone: "ok", stoppable: false, timed: false };
    case "cancelled":
      return {
        text: `stopped${run.cancelledBy ? ` by ${nameOf(run.cancelledBy)}` : ""}`,
        tone: "dim",
        stoppable: false,
        timed: false,
      };
    case "failed":
      return { text: `failed${took(run)}`, tone: "bad", stoppable: false, timed: false };
    default:
      return { text: run.status, tone: "dim", stoppable: false, timed: false };
  }
}

/** Why it failed, in words; empty if it did not. */
export function failure(run: RunView): string {
  if (run.status !== "failed") return "";
  const { code, message } = (run.error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof message === "string" && message) return message;
  switch (code) {
    case "expired":
      return "It was not done in time.";
    case "interrupted":
      return "Its worker was lost.";
    case "attempts_exhausted":
      return "Its worker was lost, and so were those that tried it again.";
    case "abandoned":
      return "Its agent left without ending it.";
    default:
      return typeof code === "string" && code ? `Code ${code}.` : "The agent gave no reason.";
  }
}

function took(run: RunView): string {
  return run.startedAt && run.endedAt && run.endedAt >= run.startedAt
    ? ` in ${lasted(run.endedAt - run.startedAt)}`
    : "";
}
