/** The sign that somebody types: said in presence while it is so, taken back soon after. */

import { useEffect, useRef } from "preact/hooks";
import type { Session } from "../src/session.js";

const QUIET_MS = 4000;

/** Call what this returns with each keystroke: whether there is anything written. */
export function useTyping(session: Session): (writing: boolean) => void {
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const said = useRef(false);
  const say = (typing: boolean) => {
    if (said.current === typing) return;
    said.current = typing;
    session.presence.update({ status: typing ? "typing" : null });
  };
  useEffect(
    () => () => {
      if (timer.current) clearTimeout(timer.current);
      said.current = false;
    },
    [session],
  );
  return (writing) => {
    if (timer.current) clearTimeout(timer.current);
    say(writing);
    if (writing) timer.current = setTimeout(() => say(false), QUIET_MS);
  };
}
