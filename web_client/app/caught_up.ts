/** Caught up: what came while this device was away. Noted when the link goes, told when it is back. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Session } from "../src/session.js";

export interface Absence {
  /** Messages and commands that came. */
  readonly count: number;
  /** Runs that were under way and are over. */
  readonly finished: number;
  /** Everything behind this place is new. */
  readonly behind: number;
  /** When it was told, by this device's clock, Unix ms. */
  readonly at: number;
}

interface Before {
  readonly seq: number;
  readonly open: readonly string[];
}

/** What came with the last catch-up, until it is dismissed; null for nothing. */
export function useAbsence(session: Session): [Absence | null, () => void] {
  const [absence, setAbsence] = useState<Absence | null>(null);
  const before = useRef<Before | null>(null);
  useEffect(() => {
    before.current = note(session);
    setAbsence(null);
    let live = session.status.link === "live";
    const changes = session.changes();
    void (async () => {
      for await (const change of changes) {
        if (change.kind === "status") {
          const now = session.status.link === "live";
          // What comes now is what came meanwhile: it counts from where the link was lost.
          if (live && !now) before.current = note(session);
          live = now;
        } else if (change.kind === "caught-up" && change.live && change.count > 0) {
          const { current } = before;
          // A copy that had nothing yet was not away: all of it is new.
          if (current !== null && current.seq > 0) setAbsence(told(session, current, change.count));
        }
      }
    })();
    return () => changes.close();
  }, [session]);
  return [absence, () => setAbsence(null)];
}

function note(session: Session): Before {
  const last = session.messages().findLast((message) => message.seq !== null);
  return {
    seq: last?.seq ?? 0,
    open: session
      .runs()
      .filter((run) => !run.ended)
      .map((run) => run.id),
  };
}

function told(session: Session, before: Before, count: number): Absence {
  const finished = before.open.filter((id) => session.run(id)?.ended).length;
  return { count, finished, behind: before.seq, at: Date.now() };
}
