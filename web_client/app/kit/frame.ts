/** Frame: hooks for what the browser around the components does: time, the screen, the focus. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** Redraw every `ms` while `on`: for clocks. Returns the time, Unix ms. */
export function useClock(on: boolean, ms: number = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!on) return undefined;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), ms);
    return () => clearInterval(timer);
  }, [on, ms]);
  return now;
}

/** Whether the screen is as `query` says. */
export function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const changed = () => setMatches(list.matches);
    changed();
    list.addEventListener("change", changed);
    return () => list.removeEventListener("change", changed);
  }, [query]);
  return matches;
}

/** A reference that has the focus given to an element when it comes. */
export function focused(element: HTMLElement | null): void {
  element?.focus();
}

/** A function that stays the same and calls the newest one: for listeners that outlive a drawing. */
export function useNewest<A extends readonly unknown[], R>(called: (...args: A) => R): (...args: A) => R {
  const newest = useRef(called);
  useLayoutEffect(() => {
    newest.current = called;
  });
  return useRef((...args: A) => newest.current(...args)).current;
}
