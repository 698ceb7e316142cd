/** Lazy: a component whose code comes when it is first shown, so that the first page has less to load. */

import { h, type ComponentChildren, type FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";

export type LazyComponent<P> = FunctionComponent<P> & {
  /** Have it there before it is shown. Never rejects: without it, its `meanwhile` is shown. */
  preload(): Promise<void>;
};

/** The `meanwhile` of what nobody misses. */
export const nothing = () => null;

/**
 * Until it is there, `meanwhile` is drawn. Without a network it is: the service worker keeps all of a build. Where it
 * is not, it is tried again with a network; without a `meanwhile` that is said, and whatever is pressed tries it again,
 * such as the button that it was asked for by.
 */
export function lazy<P extends object>(
  load: () => Promise<FunctionComponent<P>>,
  meanwhile?: (props: P) => ComponentChildren,
): LazyComponent<P> {
  let made: FunctionComponent<P> | null = null;
  const preload = async () => {
    try {
      made ??= await load();
    } catch (error) {
      console.warn("a part of the console did not load:", error);
    }
  };
  const Lazy = (props: P) => {
    const [tries, draw] = useState(0);
    useEffect(() => {
      if (made) return;
      const again = () => void preload().then(() => draw((count) => count + 1));
      const heard = (change: typeof addEventListener) => {
        change("online", again);
        if (!meanwhile) change("click", again);
      };
      again();
      heard(addEventListener);
      return () => heard(removeEventListener);
    }, [made]);
    if (made) return h(made, props);
    if (meanwhile || !tries) return meanwhile?.(props);
    const { close } = props as { close?: () => void };
    return h(
      "p",
      { class: "note", role: "alert" },
      "This part did not load.",
      h("button", null, "Try again"),
      close && h("button", { onClick: close }, "Close"),
    );
  };
  return Object.assign(Lazy as FunctionComponent<P>, { preload });
}
