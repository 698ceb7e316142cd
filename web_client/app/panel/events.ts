/** Events: what happened in a session, as the timeline lists it. Pure, of what the session says; the link's own story
 * comes in. */

import type { CommandView } from "../../src/commands.js";
import type { RunView } from "../../src/runs.js";
import type { MessageView } from "../../src/transcript.js";
import { authorOf } from "../transcript/authors.js";
import { listed, nameOf, shown } from "../people/names.js";
import { toolPart } from "../transcript/tools.js";

export const KINDS = ["messages", "runs", "tools", "commands", "link"] as const;
export type EventKind = (typeof KINDS)[number];

export interface TimelineEvent {
  readonly key: string;
  readonly kind: EventKind;
  /** Unix ms. */
  readonly at: number;
  readonly who: string;
  readonly text: string;
  /** What it was made of. */
  readonly raw: unknown;
}

export interface Story {
  readonly messages: readonly MessageView[];
  readonly runs: readonly RunView[];
  readonly commands: readonly CommandView[];
  readonly link: readonly TimelineEvent[];
}

const NONE: ReadonlySet<EventKind> = new Set();

/** The newest `limit` events of kinds that are not `hidden`, the newest last. */
export function eventsOf({ messages, runs, commands, link }: Story, limit: number, hidden = NONE): TimelineEvent[] {
  const isShown = ({ kind }: TimelineEvent) => !hidden.has(kind);
  const events = link.filter(isShown);
  /** Of each sort no more than will be shown: a long session is not gone through for its end. */
  const add = <T>(things: readonly T[], of: (thing: T) => TimelineEvent[]) => {
    const enough = events.length + limit;
    for (let at = things.length - 1; at >= 0 && events.length < enough; at--)
      events.push(...of(things[at]!).filter(isShown).reverse());
  };
  add(messages, ofMessage);
  add(runs, ofRun);
  add(commands, (command) => [ofCommand(command)]);
  return events
    .reverse()
    .sort((one, other) => one.at - other.at)
    .slice(-limit);
}

function ofMessage(message: MessageView): TimelineEvent[] {
  const who = nameOf(authorOf(message));
  const at = message.receipt?.at ?? message.createdAt;
  const { id, role, author, to, parts, receipt, run, attempt, parent, forkOf, metadata, createdAt } = message;
  const raw = { id, role, author, to, parts, receipt, run, attempt, parent, forkOf, metadata, createdAt };
  const what =
    typeof metadata["regenerate"] === "string" ? "asked for another answer" : forkOf ? "edited a message" : "message";
  const events: TimelineEvent[] = [
    { key: `m ${id}`, kind: "messages", at, who, text: receipt ? what : `${what}, not sent yet`, raw },
  ];
  for (const [number, part] of parts.entries()) {
    if (part.type !== "tool") continue;
    const { name, state } = toolPart(part);
    const text = `tool ${shown(name)}: ${state.replace(/-/g, " ")}`;
    events.push({ key: `t ${id} ${number}`, kind: "tools", at, who, text, raw: part });
  }
  return events;
}

function ofRun(run: RunView): TimelineEvent[] {
  const who = nameOf(run.agent);
  const events: TimelineEvent[] = [];
  const add = (what: string, at: number) =>
    events.push({ key: `r ${run.id} ${what}`, kind: "runs", at, who, text: what, raw: run });
  if (run.startedAt) add(run.attempt > 1 ? `run started, attempt ${run.attempt}` : "run started", run.startedAt);
  else add("run queued", run.madeAt);
  if (run.ended) add(`run ${run.status}`, run.endedAt ?? run.madeAt);
  else if (run.status === "interrupted" || run.status === "suspended")
    add(`run ${run.status}`, run.startedAt ?? run.madeAt);
  return events;
}

function ofCommand(command: CommandView): TimelineEvent {
  const { id, kind, receipt, at, payload } = command;
  const to =
    kind === "handoff" && payload !== null && typeof payload === "object" ? (payload as { to?: unknown }).to : null;
  const words = [
    kind.replace("_", " "),
    typeof to === "string" ? `to ${nameOf(to)}` : "",
    receipt ? receipt.outcome : "not sent yet",
  ];
  const who = receipt ? nameOf(receipt.by) : "this device";
  return {
    key: `c ${id}`,
    kind: "commands",
    at: receipt?.at ?? at,
    who,
    text: listed([words.filter(Boolean).join(" ")]),
    raw: command,
  };
}
