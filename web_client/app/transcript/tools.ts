/** Tools: what a row says about a tool call, by its state and the decision on it. Pure. */

import type { Json } from "../../src/core/messages.js";
import { nameOf } from "../people/names.js";
import { lasted } from "../kit/times.js";

export interface ToolPart {
  readonly name: string;
  /** Its id in the session; empty where the part does not say. */
  readonly call: string;
  readonly state: string;
  /** What it was called with, as it is known so far. */
  readonly input: Json | undefined;
  readonly rawInput: string;
  readonly output: Json | undefined;
  readonly error: string;
  /** What whoever decides should know beside the input. */
  readonly asked: Json | undefined;
  /** Unix ms; 0 for none. */
  readonly deadlineAt: number;
}

export interface Decision {
  readonly kind: string;
  readonly by: string;
  readonly at: number;
  readonly payload?: Json;
}

export interface ToolWords {
  readonly text: string;
  readonly tone: "dim" | "ok" | "warn" | "bad";
  /** Somebody has to answer. */
  readonly asks: boolean;
  /** Something is under way. */
  readonly busy: boolean;
}

/** A part of type `tool`, as far as it is one: an agent may write anything. */
export function toolPart(part: { readonly [key: string]: unknown }): ToolPart {
  const string = (name: string) => (typeof part[name] === "string" ? (part[name] as string) : "");
  const error = part["error"] as Json | undefined;
  return {
    name: string("name") || "tool",
    call: string("tool_call"),
    state: string("state"),
    input: part["input"] as Json | undefined,
    rawInput: string("raw_input"),
    output: part["output"] as Json | undefined,
    error: error === undefined || error === null ? "" : errorText(error),
    asked: part["asked"] as Json | undefined,
    deadlineAt: typeof part["deadline_at"] === "number" ? part["deadline_at"] : 0,
  };
}

/** What the row says. `ended`: that its run is over, so that nothing is under way any more. */
export function toolWords(tool: ToolPart, decision: Decision | null, ended: boolean): ToolWords {
  const by = decision ? ` by ${nameOf(decision.by)}` : "";
  switch (tool.state) {
    case "input-streaming":
      return ended ? dim("broken off") : busy("is being called");
    case "approval-requested":
      if (decision?.kind === "deny") return word(`denied${by}${reason(decision)}`, "bad");
      if (decision) return ended ? dim(`approved${by}, not run`) : busy(`approved${by}`);
      return ended ? dim("was not answered") : { text: "needs approval", tone: "warn", asks: true, busy: false };
    case "approval-responded":
      if (decision?.kind === "deny") return word(`denied${by}${reason(decision)}`, "bad");
      return ended ? dim(`approved${by}, not finished`) : busy(`approved${by}, running`);
    case "output-available":
      return word(decision?.kind === "approve" ? `done, approved${by}` : decision ? `done${by}` : "done", "ok");
    case "output-error":
      return word("failed", "bad");
    case "output-denied":
      return word(`denied${by}${decision ? reason(decision) : ""}`, "bad");
    case "input-available":
      return ended ? dim("not finished") : busy("running");
    default:
      return dim(tool.state || "unknown");
  }
}

/** A value on one line, as long as it is read at a glance. */
export function brief(value: Json | undefined, charsMax = 400): string {
  const text = typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value);
  return text.length > charsMax ? `${text.slice(0, charsMax)}…` : text;
}

/** A value in full, to be read. */
export function whole(value: Json | undefined): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** When an approval has to be there. */
export function deadline(tool: ToolPart, nowMs: number): string {
  if (!tool.deadlineAt) return "";
  return tool.deadlineAt > nowMs ? `${lasted(tool.deadlineAt - nowMs)} left` : "time is over";
}

function reason(decision: Decision): string {
  const { payload } = decision;
  const text =
    payload !== null && typeof payload === "object" && !Array.isArray(payload)
      ? (payload as { readonly [key: string]: Json })["reason"]
      : payload;
  return typeof text === "string" && text ? `: ${text}` : "";
}

function errorText(error: Json): string {
  if (typeof error === "string") return error;
  const message = (error as { readonly [key: string]: Json })["message"];
  return typeof message === "string" ? message : JSON.stringify(error);
}

const word = (text: string, tone: ToolWords["tone"]): ToolWords => ({ text, tone, asks: false, busy: false });
const dim = (text: string) => word(text, "dim");
const busy = (text: string): ToolWords => ({ text, tone: "dim", asks: false, busy: true });
