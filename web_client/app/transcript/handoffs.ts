/** Hand-overs of a session, as far as they were accepted, in their order. */

import type { CommandView } from "../../src/commands.js";
import type { JsonMap } from "../../src/core/messages.js";
import type { Session } from "../../src/session.js";
import type { Handoff } from "./rows.js";

/** Commands that did not change are not gone through again. */
const made = new WeakMap<readonly CommandView[], Handoff[]>();

export function handoffsOf(session: Session): Handoff[] {
  const commands = session.commands();
  let handoffs = made.get(commands);
  if (handoffs === undefined) made.set(commands, (handoffs = accepted(commands)));
  return handoffs;
}

function accepted(commands: readonly CommandView[]): Handoff[] {
  const found: Handoff[] = [];
  for (const { id, kind, target, payload, receipt } of commands) {
    if (kind !== "handoff" || target !== "session" || receipt?.outcome !== "accepted") continue;
    const { to, note } = (payload ?? {}) as JsonMap;
    if (typeof to !== "string") continue;
    found.push({ id, seq: receipt.seq, by: receipt.by, to, note: typeof note === "string" ? note : "" });
  }
  return found.sort((one, other) => one.seq - other.seq);
}
