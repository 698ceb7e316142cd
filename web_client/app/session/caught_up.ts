/** Caught up: what came while this device was away. Noted when the link goes, told when it is back. */

import { useEffect, useState } from "preact/hooks";
import type { Session } from "../../src/session.js";

export interface Absence {
  /** Messages and commands that came. */
  readonly count: number;
  /** Runs that were under way and are over. */
  readonly finished: number;
  /** Everything behind this place is new. */
  readonly behind: number;
}

interface Before {
  readonly seq: number;
  readonly open: readonly string[];
}

/** How each session stood when this device went away, or when it was opened; none once that was told. */
const befores = new WeakMap<Session, Before>();

/** Note how a session stands before anything comes: it was just opened, or its link went. */
export function leave(session: Session): void {
  const last = session.messages().findLast((message) => message.seq !== null);
  const open = session.runs().filter((run) => !run.ended);
  befores.set(session, { seq: last?.seq ?? 0, open: open.map((run) => run.id) });
}

/** What came with the last catch-up, until it is dismissed; null for nothing. */
export function useAbsence(session: Session): [Absence | null, () => void] {
  const [absence, setAbsence] = useState<Absence | null>(null);
  useEffect(() => {
    setAbsence(null);
    let live = session.status.link === "live";
    const changes = session.changes();
    void (async () => {
      for await (const change of changes) {
        if (change.kind === "status") {
          const now = change.status.link === "live";
          if (live && !now) leave(session);
          // Where another tab of this device kept the link, the server has nothing to say of it.
          const told = !live && now ? since(session) : null;
          if (told) setAbsence(told);
          live = now;
        } else if (change.kind === "caught-up" && change.live) {
          const told = since(session, change.count);
          if (told) setAbsence(told);
        }
      }
    })();
    return () => changes.close();
  }, [session]);
  return [absence, () => setAbsence(null)];
}

/**
 * What came since the session was left; null for nothing, or if it was told already. `said`: how much of it the server
 * counted, commands among it; else the messages are counted here.
 */
export function since(session: Session, said?: number): Absence | null {
  const before = befores.get(session);
  befores.delete(session);
  // A copy that had nothing yet was not away: all of it is new.
  if (before === undefined || before.seq === 0) return null;
  const count = said ?? session.messages().filter(({ seq }) => seq !== null && seq > before.seq).length;
  if (count === 0) return null;
  return { count, finished: before.open.filter((id) => session.run(id)?.ended).length, behind: before.seq };
}
