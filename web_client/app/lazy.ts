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
 * is not, it is tried again with a network, and without a `meanwhile` that is said.
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
    const again = () => void preload().then(() => draw((count) => count + 1));
    useEffect(() => {
      if (made) return;
      again();
      addEventListener("online", again);
      return () => removeEventListener("online", again);
    }, []);
    if (made) return h(made, props);
    if (meanwhile || !tries) return meanwhile?.(props);
    const { close } = props as { close?: () => void };
    return h(
      "p",
      { class: "note", role: "alert" },
      "This part did not load.",
      h("button", { onClick: again }, "Try again"),
      close && h("button", { onClick: close }, "Close"),
    );
  };
  return Object.assign(Lazy as FunctionComponent<P>, { preload });
}
