/** Shown: a field of this tab's presence, said while it is so, and taken back when it is over. */

import { useEffect, useRef } from "preact/hooks";
import type { Json } from "../../src/core/messages.js";
import type { Session } from "../../src/session.js";

/** How often the others are told at most, milliseconds: the server tells them ten times a second. */
const PACE_MS = 150;

interface Field {
  /** What makes the newest value; null for none. */
  make: (() => Json) | null;
  said: string;
  pace: ReturnType<typeof setTimeout> | undefined;
  end: ReturnType<typeof setTimeout> | undefined;
}

/**
 * Call what this returns whenever the field is another: with what makes its value, or with null to take it away. With
 * `forMs` it is taken away by itself, unless it is said again before that. `name` is what it is of.
 */
export function useShown(session: Session, field: string, name = ""): (make: Field["make"], forMs?: number) => void {
  const { current } = useRef<Field>({ make: null, said: "null", pace: undefined, end: undefined });
  const say = (): void => {
    current.pace = undefined;
    const value = current.make?.() ?? null;
    const said = JSON.stringify(value);
    if (said === current.said) return;
    current.said = said;
    session.presence.update({ [field]: value });
  };
  useEffect(
    () => () => {
      clearTimeout(current.pace);
      clearTimeout(current.end);
      current.make = null;
      say();
    },
    [session, name],
  );
  return (make, forMs) => {
    clearTimeout(current.end);
    current.make = make;
    current.pace ??= setTimeout(say, PACE_MS);
    if (make !== null && forMs !== undefined) {
      current.end = setTimeout(() => {
        current.make = null;
        say();
      }, forMs);
    }
  };
}
