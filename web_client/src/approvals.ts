/** Approvals: tool calls that wait for somebody's yes. Knows nothing of stores or of the network. */

import type { Runs, RunView } from "./runs.js";
import type { MessageView, Transcript } from "./transcript.js";

/** A tool call that waits for somebody's decision. */
export interface Approval {
  readonly toolCall: string;
  readonly run: RunView;
  readonly message: MessageView;
  /** Where in the message's parts it stands. */
  readonly part: number;
}

/** Tool calls that wait for a decision, of runs that are not over, oldest first. */
export function approvalsOf(transcript: Transcript, runs: Runs): Approval[] {
  const found = new Map<string, Approval>();
  for (const run of runs.runs()) {
    if (run.ended) continue;
    for (const message of transcript.ofRun(run.id)) {
      // Whoever else names the run in a message of theirs does not ask in its agent's name.
      if ((message.by ?? run.agent) !== run.agent || runs.superseded(message)) continue;
      for (const [part, { type, tool_call: toolCall, state }] of message.parts.entries()) {
        if (type !== "tool" || typeof toolCall !== "string") continue;
        if (state === "approval-requested" && runs.decision(toolCall) === null) {
          found.set(toolCall, { toolCall, run, message, part });
        } else found.delete(toolCall); // Of a call that goes through several messages the last word counts.
      }
    }
  }
  return [...found.values()];
}
