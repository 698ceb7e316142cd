/** The queue strip: what this person asked for that nobody took up yet, above the composer. */

import type { CommandView } from "../../src/commands.js";
import type { JsonMap } from "../../src/core/messages.js";
import type { RunView } from "../../src/runs.js";
import { useAsk, useHere } from "../session/here.js";
import { CloseIcon } from "../kit/icons.js";
import { nameOf, shown } from "../people/names.js";
import { askedOf } from "./queued.js";

/** How long a steer that was not heard is offered to be sent as a message, milliseconds. */
const OFFERED_MS = 10 * 60_000;
const CHARS = 60;

/** `take` puts words into the composer. */
export function Queue({ take }: { take: (words: string) => void }) {
  const { session, me } = useHere();
  const ask = useAsk();
  const runs = session.runs();
  const { waiting, steers } = askedOf(session, me);
  const shownSteers = steers
    .map((command) => ({ command, standing: standing(command, runs) }))
    .filter(({ standing }) => standing);
  if (waiting.length === 0 && shownSteers.length === 0) return null;
  return (
    <ul class="queue" aria-label="Waiting">
      {waiting.map((run) => (
        <li key={run.id}>
          Queued for {nameOf(run.agent)}: {quoted(run.message ? (session.message(run.message)?.text ?? "") : "")}
          <button
            class="plain"
            aria-label={`Take back what waits for ${nameOf(run.agent)}`}
            onClick={() => ask(() => session.cancel({ run: run.id }))}
          >
            <CloseIcon />
          </button>
        </li>
      ))}
      {shownSteers.map(({ command, standing }) => (
        <li key={command.id} class={standing === "unheard" ? "unheard" : undefined}>
          Steer {nameOf(agentOf(command, runs))}: {quoted(words(command))}
          <small>{LABELS[standing!]}</small>
          {standing === "unheard" && (
            <button class="plain" onClick={() => take(words(command))}>
              Send as a message
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

type Standing = "unsent" | "waiting" | "unheard";

const LABELS: Readonly<Record<Standing, string>> = {
  unsent: "not sent yet",
  waiting: "not heard yet",
  unheard: "came too late",
};

/** How a steer stands; null when there is nothing more to say of it. */
function standing(command: CommandView, runs: readonly RunView[]): Standing | null {
  if (command.receipt === null) return "unsent";
  const of = runs.filter((run) => isFor(command, run));
  if (of.some((run) => command.id in run.consumed)) return null;
  if (command.receipt.outcome === "accepted" && of.some((run) => !run.ended)) return "waiting";
  return Date.now() - command.receipt.at < OFFERED_MS ? "unheard" : null;
}

function isFor({ target, targetId }: CommandView, run: RunView): boolean {
  return target === "run" ? run.id === targetId : run.message === targetId;
}

function agentOf(command: CommandView, runs: readonly RunView[]): string {
  return runs.find((run) => isFor(command, run))?.agent ?? "agent:an agent";
}

function words({ payload }: CommandView): string {
  const text = (payload as JsonMap | null)?.["text"];
  return typeof text === "string" ? text : "";
}

function quoted(text: string): string {
  const line = shown(text);
  return `“${line.length > CHARS ? `${line.slice(0, CHARS)}…` : line}”`;
}
