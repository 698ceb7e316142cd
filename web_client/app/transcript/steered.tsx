/**
 * Steered: what an agent was told while it worked. The part only says where; who it was and what they said stands there.
 * Loaded when there is such a part.
 */

import type { JsonMap } from "../../src/core/messages.js";
import type { RunView } from "../../src/runs.js";
import type { Part } from "../../src/schema.js";
import type { Session } from "../../src/session.js";
import { useHere } from "../session/here.js";
import { nameOf } from "../people/names.js";

type Told = Pick<Session, "commandView" | "message" | "runs">;

/**
 * Who told `run` something, and what, of a part in its output that says so; null if nobody did. A steer has to be of this
 * run, a message one that its agent was given: anybody can name any.
 */
export function told(session: Told, part: Part, run: RunView | null): { by: string; text: string } | null {
  if (run === null) return null;
  const message = session.message(string(part["message"]));
  if (message && session.runs().some((one) => one.message === message.id && one.agent === run.agent)) {
    return { by: message.by ?? "", text: message.text };
  }
  const command = session.commandView(string(part["command"]));
  if (command?.kind !== "steer" || command.receipt === null) return null;
  const of = command.target === "run" ? run.id : command.target === "message" ? run.message : null;
  if (command.targetId !== of) return null;
  return { by: command.receipt.by, text: string((command.payload as JsonMap | null)?.["text"]) };
}

export function Steered({ part, run }: { part: Part; run: RunView | null }) {
  const { session } = useHere();
  const heard = told(session, part, run);
  return (
    <p class="steer">
      {heard?.by && <b>{nameOf(heard.by)}</b>} steered: {heard ? heard.text : string(part["text"])}
    </p>
  );
}

function string(value: unknown): string {
  return typeof value === "string" ? value : "";
}
