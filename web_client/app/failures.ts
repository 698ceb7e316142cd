/** Failures: what went wrong with what somebody asked for here, and what the server refused. */

import { useEffect, useState } from "preact/hooks";
import type { RefusedEdit } from "../src/core/replica.js";
import type { Session } from "../src/session.js";
import { useNewest } from "./frame.js";

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
    setErrors((before) => [...before.slice(1 - SHOWN), error instanceof Error ? error.message : String(error)]);
  });
  const look = () => void session.refused().then(setRefused, report);
  useEffect(() => {
    look();
    const changes = session.changes();
    void (async () => {
      for await (const change of changes) if (change.kind === "refused") look();
    })();
    return () => changes.close();
  }, [session]);
  return { errors, report, clear: () => setErrors([]), refused, look };
}
