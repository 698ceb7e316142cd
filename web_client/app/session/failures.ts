/** Failures: what went wrong with what somebody asked for here, and what the server refused. */

import { useEffect, useState } from "preact/hooks";
import type { RefusedEdit } from "../../src/core/replica.js";
import type { Session } from "../../src/session.js";
import { useNewest } from "../kit/frame.js";

/** How many errors are shown. */
const SHOWN = 3;

export interface Failures {
  readonly errors: readonly string[];
  /** Note another one. The same function each time. */
  readonly report: (error: unknown) => void;
  readonly clear: () => void;
  /** Own edits that the server refused for good. */
  readonly refused: readonly RefusedEdit[];
  /** Look for them again. */
  readonly look: () => void;
}

export function useFailures(session: Session): Failures {
  const [errors, setErrors] = useState<readonly string[]>([]);
  const [refused, setRefused] = useState<readonly RefusedEdit[]>([]);
  const report = useNewest((error: unknown) => {
    console.error(error);
    const words = error instanceof Error ? error.message : String(error);
    setErrors((before) => (before.at(-1) === words ? before : [...before.slice(1 - SHOWN), words]));
  });
  const look = (told?: { code: string; reason: string }) =>
    void session.refused().then((kept) => {
      setRefused(kept);
      // Refused here, and so not kept: what the server refuses has codes of its own.
      if (told && !kept.some(({ code }) => code === told.code)) report(told.reason);
    }, report);
  useEffect(() => {
    look();
    const changes = session.changes();
    void (async () => {
      for await (const change of changes) if (change.kind === "refused") look(change);
    })();
    return () => changes.close();
  }, [session]);
  return { errors, report, clear: () => setErrors([]), refused, look };
}
