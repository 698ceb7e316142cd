/** Frames: hooks that redraw, at most once per animation frame, when something outside of the components changed. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** Redraw when `subscribe` says that something changed. Returns a number that is another each time. */
export function useChanges(subscribe: (changed: () => void) => () => void, deps: readonly unknown[]): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    let frame = 0;
    const draw = () => {
      frame = 0;
      setCount((before) => before + 1);
    };
    const end = subscribe(() => {
      frame ||= requestAnimationFrame(draw);
    });
    // What changed between the drawing and this effect was told to nobody.
    draw();
    return () => {
      cancelAnimationFrame(frame);
      end();
    };
  }, deps);
  return count;
}

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
