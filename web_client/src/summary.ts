/**
 * Summary: what a list of sessions shows of one, from its documents alone.
 *
 * Knows nothing of stores or of the network; works on sessions that are open and on documents that were only loaded.
 */

import type * as Y from "yjs";
import { runOfCall } from "./core/ids.js";
import { Runs, isOutput } from "./runs.js";
import type { RunView } from "./runs.js";
import { Transcript, readRead } from "./transcript.js";
import type { MessageView } from "./transcript.js";

export interface Summary {
  readonly session: string;
  /** The state's `session.title`, else the first line that a person wrote; empty for neither. */
  readonly title: string;
  /** When the last message came, Unix ms; 0 without one. */
  readonly lastAt: number;
  /** Messages by others behind what this subject has read; requests for another answer aside. */
  readonly unread: number;
  /** A tool call waits for an approval, or this subject is responsible for the session. */
  readonly needsYou: boolean;
  /** Agents that are at work. */
  readonly running: readonly string[];
  /** Own edits that are not on the server's disk. */
  readonly unsynced: number;
}

/** A tool call that waits for somebody's decision. */
export interface Approval {
  readonly toolCall: string;
  readonly run: RunView;
  readonly message: MessageView;
  /** Where in the message's parts it stands. */
  readonly part: number;
}

/** Who looks, and what of it the documents do not say. `mayDecide`: the grant has the right `command`. */
export interface Onlooker {
  readonly session: string;
  readonly subject: string;
  readonly unsynced: number;
  readonly mayDecide: boolean;
}

/** Summarise a session from its two documents. */
export function summarize(onlooker: Onlooker, transcript: Y.Doc, state: Y.Doc): Summary {
  const document = () => transcript;
  return summaryOf(onlooker, new Transcript(document), new Runs(document), { transcript, state });
}

/** The same, from views that are kept up to date. */
export function summaryOf(
  onlooker: Onlooker,
  transcript: Transcript,
  runs: Runs,
  documents: { readonly transcript: Y.Doc; readonly state: Y.Doc },
): Summary {
  const { session, subject, unsynced, mayDecide } = onlooker;
  const messages = transcript.messages();
  const last = messages.at(-1);
  const live = runs.runs().filter((run) => !run.ended);
  return {
    session,
    title: titleOf(documents.state) || firstLine(messages),
    lastAt: last === undefined ? 0 : (last.receipt?.at ?? last.createdAt),
    unread: unreadOf(messages, subject, readRead(documents.transcript.getMap("reads").get(subject)) ?? 0),
    needsYou: (mayDecide && approvalsOf(transcript, runs).length > 0) || isResponsible(runs, subject),
    running: [...new Set(live.filter((run) => run.status === "running").map((run) => run.agent))],
    unsynced,
  };
}

/** Tool calls that wait for a decision, of runs that are not over, oldest first. */
export function approvalsOf(transcript: Transcript, runs: Runs): Approval[] {
  const found = new Map<string, Approval>();
  for (const run of runs.runs()) {
    if (run.ended) continue;
    for (const message of transcript.ofRun(run.id)) {
      // Whoever else names the run in a message of theirs does not ask in its agent's name.
      if (!isOutput(message, run) || runs.superseded(message)) continue;
      for (const [part, { type, tool_call: toolCall, state }] of message.parts.entries()) {
        if (type !== "tool" || typeof toolCall !== "string" || runOfCall(toolCall) !== run.id) continue;
        if (state === "approval-requested" && runs.decision(toolCall) === null) {
          found.set(toolCall, { toolCall, run, message, part });
        } else found.delete(toolCall); // Of a call that goes through several messages the last word counts.
      }
    }
  }
  return [...found.values()];
}

function isResponsible(runs: Runs, subject: string): boolean {
  return subject !== "" && runs.handover()?.to === subject;
}

function unreadOf(messages: readonly MessageView[], subject: string, read: number): number {
  let count = 0;
  for (let at = messages.length - 1; at >= 0; at--) {
    const { seq, by, role } = messages[at]!;
    if (seq === null) continue;
    if (seq <= read) break;
    if (by !== subject && role !== "system") count++;
  }
  return count;
}

function titleOf(state: Y.Doc): string {
  // As `Y.Map.get` reads it: a root that came while the session is open has no kind here yet.
  const entry = state.share.get("session")?._map.get("title");
  const title: unknown = entry && !entry.deleted ? entry.content.getContent()[entry.length - 1] : undefined;
  return typeof title === "string" ? title.trim() : "";
}

function firstLine(messages: readonly MessageView[]): string {
  const first = messages.find(
    ({ role, by, text }) => role === "user" && (by ?? "user:").startsWith("user:") && text.trim() !== "",
  );
  return first === undefined ? "" : first.text.trim().split("\n", 1)[0]!.trim();
}
