/** Whether somebody wants to be told on this device: what they answered, and when to ask them. */

import { useEffect, useState } from "preact/hooks";
import type { Session } from "../../src/session.js";

/** What somebody answered here: to be told, not to be, or nothing yet. */
export type Choice = "on" | "no" | null;

/** A run that is under way for this long, while it is watched, is one to be told about, milliseconds. */
const LONG_MS = 20_000;
const LOOK_MS = 1_000;
const CHOSEN = "syncd:choice";

export function choiceOf(subject: string): Choice {
  const kept = localStorage.getItem(place(subject));
  return kept === "on" || kept === "no" ? kept : null;
}

export function choose(subject: string, choice: "on" | "no"): void {
  localStorage.setItem(place(subject), choice);
  dispatchEvent(new Event(CHOSEN));
}

/** The answer as it stands, given in this tab or another. */
export function useChoice(subject: string): Choice {
  const [choice, setChoice] = useState(() => choiceOf(subject));
  useEffect(() => {
    const look = () => setChoice(choiceOf(subject));
    look();
    for (const event of [CHOSEN, "storage"]) addEventListener(event, look);
    return () => {
      for (const event of [CHOSEN, "storage"]) removeEventListener(event, look);
    };
  }, [subject]);
  return choice;
}

/** Whether one of a session's runs takes long, as far as it was watched here: never at once. */
export function useLongRun(session: Session, wanted: boolean): boolean {
  const [long, setLong] = useState(false);
  useEffect(() => {
    if (!wanted) return undefined;
    const since = new Map<string, number>();
    const look = () => {
      for (const run of session.runs()) {
        // One that waits for somebody is not over, and may wait for long.
        if (run.ended) since.delete(run.id);
        else if (run.status === "running" && !since.has(run.id)) since.set(run.id, performance.now());
      }
      const now = performance.now();
      if ([...since.values()].some((begun) => now - begun >= LONG_MS)) setLong(true);
    };
    const timer = setInterval(look, LOOK_MS);
    look();
    return () => clearInterval(timer);
  }, [session, wanted]);
  return long && wanted;
}

function place(subject: string): string {
  return `syncd:told:${subject}`;
}
