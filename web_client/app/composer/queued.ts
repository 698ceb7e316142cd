/** Queued: what this person asked for that may wait yet. Pure. */

import type { CommandView } from "../../src/commands.js";
import type { RunView } from "../../src/runs.js";
import type { Session } from "../../src/session.js";

/** How far back steers are looked for, commands. */
const BACK = 50;

/** Own runs that nobody took up, and own steers, heard or not. */
export function askedOf(
  session: Session,
  me: string,
): { readonly waiting: readonly RunView[]; readonly steers: readonly CommandView[] } {
  return {
    waiting: session
      .runs()
      .filter((run) => run.status === "queued" && run.by === me && !run.parentRun && !run.cancelledBy),
    // Without a receipt it is of this device: others' come with theirs.
    steers: session
      .commands()
      .slice(-BACK)
      .filter(({ kind, receipt }) => kind === "steer" && (receipt === null || receipt.by === me)),
  };
}
