/** A tool call as a row: what it is called with, who allows it, what came of it. */

import { useState } from "preact/hooks";
import type { CommandView } from "../../src/commands.js";
import { runOfCall } from "../../src/core/ids.js";
import type { RunView } from "../../src/runs.js";
import type { Part } from "../../src/schema.js";
import { useClock } from "../kit/frame.js";
import { useAsk, useHere, useMay } from "../session/here.js";
import { lazy } from "../kit/lazy.js";
import { brief, deadline, toolPart, toolWords, whole, type ToolPart } from "./tools.js";

const DenyCall = lazy(() => import("../kit/forms.js").then((module) => module.DenyCall));

/** `run`: whose output it is. Of a call of any other, or of none, nothing is known or decided here. */
export function ToolRow({ part, run, ended }: { part: Part; run: RunView | null; ended: boolean }) {
  const { session } = useHere();
  const tool = toolPart(part);
  const own = run?.id === runOfCall(tool.call);
  const words = toolWords(tool, own ? session.decision(tool.call) : null, ended || !own);
  const input = tool.input !== undefined ? brief(tool.input) : tool.rawInput;
  return (
    <div class={words.asks ? "tool asks" : "tool"} data-state={tool.state}>
      <div class="line">
        <b>{tool.name}</b>
        <span class={`state ${words.tone}`} role="status">
          {words.text}
        </span>
        {words.busy && <span class="spinner" aria-hidden="true" />}
      </div>
      {input && <code tabIndex={0}>{input}</code>}
      {tool.asked !== undefined && <p class="asked">{brief(tool.asked)}</p>}
      {words.asks && <Question tool={tool} />}
      {tool.error && <p class="bad">{tool.error}</p>}
      {tool.output !== undefined && tool.output !== null && (
        <details class="more">
          <summary>Output</summary>
          <pre tabIndex={0}>{whole(tool.output)}</pre>
        </details>
      )}
    </div>
  );
}

/** Approve or deny; or what became of the answer that was given here. */
function Question({ tool }: { tool: ToolPart }) {
  const { session, me } = useHere();
  const ask = useAsk();
  const may = useMay("command");
  const [reasoning, setReasoning] = useState(false);
  const now = useClock(tool.deadlineAt > 0);
  const given = session
    .commands()
    .filter((command) => answers(command, tool.call, me))
    .at(-1);
  if (!may) return <p class="state">Somebody who may decide here has to answer.</p>;
  if (given && !given.receipt) {
    return (
      <p class="state">
        {given.kind === "approve" ? "Approved" : "Denied"} here, not sent yet. The first answer that arrives wins.
      </p>
    );
  }
  if (reasoning) {
    return <DenyCall call={tool.call} close={() => setReasoning(false)} />;
  }
  return (
    <div class="line wrap">
      <button class="primary" onClick={() => ask(() => session.approve(tool.call))}>
        Approve
      </button>
      <button class="bad" onClick={() => ask(() => session.deny(tool.call))}>
        Deny
      </button>
      <button class="plain" onClick={() => setReasoning(true)}>
        Deny and say why
      </button>
      <span class="state">{[deadline(tool, now), "first answer wins, on any device"].filter(Boolean).join(", ")}</span>
      {given?.receipt && given.receipt.outcome !== "accepted" && (
        <span class="state bad">your answer was {given.receipt.outcome}</span>
      )}
    </div>
  );
}

function answers(command: CommandView, call: string, me: string): boolean {
  if (command.target !== "tool_call" || command.targetId !== call) return false;
  if (command.kind !== "approve" && command.kind !== "deny") return false;
  return command.receipt === null || command.receipt.by === me;
}
