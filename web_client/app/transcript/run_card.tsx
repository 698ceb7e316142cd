/** A run as a card: its agent, what it is at, how it stands, and all that it said, sub-runs inside. */

import { useAsk, useHere, useMay } from "../session/here.js";
import { Avatar } from "../people/avatar.js";
import { BranchSteps } from "./branch.js";
import { Actions } from "./message_row.js";
import { listed, nameOf, shown } from "../people/names.js";
import { Parts } from "./parts.js";
import type { RunView } from "../../src/runs.js";
import type { MessageRow, Row, RunRow } from "./rows.js";
import { failure, runWords } from "./run_words.js";
import { lazy, nothing } from "../kit/lazy.js";
import { clock } from "../kit/times.js";

const Elapsed = lazy(() => import("./elapsed.js").then((module) => module.Elapsed), nothing);

export function RunCard({ row, stepped }: { row: RunRow; stepped: () => void }) {
  const { session, live } = useHere();
  const ask = useAsk();
  const commands = useMay("command");
  const { run } = row;
  const said = row.body.filter((part): part is MessageRow => part.kind === "message");
  const first = said[0]?.item;
  const counted = first && first.count > 1 ? first : row.item;
  const ended = run?.ended ?? !said.some(({ item }) => item.message.streaming);
  const asks = run !== null && !run.ended && session.approvals().some((approval) => approval.run.id === run.id);
  const words = run && runWords(run, { asks, offline: !live });
  const agent = run?.agent ?? first?.message.by ?? "agent:";
  const cancel = run && !run.ended && run.status === "suspended";

  return (
    <section class="run" data-status={run?.status} tabIndex={-1} aria-label={`${nameOf(agent)}: ${title(row)}`}>
      <details open>
        <summary>
          <Avatar subject={agent} />
          <b>{nameOf(agent)}</b>
          <span class="task">{title(row)}</span>
          {words && (
            <span class="standing">
              <span class={`state ${words.tone}`} role="status" aria-live="polite">
                {words.text}
              </span>
              {words.timed && run.startedAt && <Elapsed since={run.startedAt} />}
            </span>
          )}
        </summary>
        <div class="body">
          {row.body.map((part) => (
            <Piece key={part.key} row={part} run={row.run} ended={ended} stepped={stepped} />
          ))}
          {row.body.length === 0 && run && !run.ended && <p class="state">{silence(run.status)}</p>}
          {run && run.status === "failed" && <p class="failure">{shown(failure(run))}</p>}
          {run?.status === "running" && live && <span class="cursor" aria-hidden="true" />}
          {ended && first && <Actions item={first} edit={null} stepped={stepped} />}
        </div>
      </details>
      <span class="run-actions">
        {words?.stoppable && commands && (
          <button
            class="bad"
            aria-label={`Stop ${nameOf(agent)}`}
            onClick={() => ask(() => session.cancel({ run: run!.id }))}
          >
            Stop
          </button>
        )}
        {cancel && commands && (
          <button
            class="plain"
            aria-label={`Cancel ${nameOf(agent)}`}
            onClick={() => ask(() => session.cancel({ run: run.id }))}
          >
            Cancel
          </button>
        )}
        {counted && <BranchSteps item={counted} stepped={stepped} />}
      </span>
    </section>
  );
}

function Piece({ row, run, ended, stepped }: { row: Row; run: RunView | null; ended: boolean; stepped: () => void }) {
  if (row.kind === "run") return <RunCard row={row} stepped={stepped} />;
  if (row.kind !== "message") return null;
  const { message } = row.item;
  return (
    <div class="said" id={`m-${message.id}`}>
      {message.to.length > 0 && <p class="state">to {listed(message.to.map(nameOf))}</p>}
      <Parts parts={message.parts} run={run} ended={ended} />
    </div>
  );
}

function title({ run, body }: RunRow): string {
  if (run?.task) return shown(run.task);
  const first = body.find((part) => part.kind === "message");
  if (run?.startedAt) return `from ${clock(run.startedAt)}`;
  return first ? `from ${clock(first.item.message.createdAt)}` : "not begun";
}

function silence(status: string): string {
  if (status === "queued") return "No process serves this agent now, or all are busy. It begins by itself.";
  return status === "running" ? "Begins…" : "";
}
