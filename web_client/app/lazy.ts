/** Lazy: a component whose code comes when it is first shown, so that the first page has less to load. */

import { h, type ComponentChildren, type FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";

export type LazyComponent<P> = FunctionComponent<P> & {
  /** Have it there before it is shown. Never rejects: without it, its `meanwhile` is shown. */
  preload(): Promise<void>;
};

/** Until it is there, `meanwhile` is drawn. Without a network it is: the service worker keeps all of a build. */
export function lazy<P extends object>(
  load: () => Promise<FunctionComponent<P>>,
  meanwhile: (props: P) => ComponentChildren = () => null,
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
    const [, draw] = useState(false);
    useEffect(() => {
      if (!made) void preload().then(() => draw(true));
    }, []);
    return made ? h(made, props) : meanwhile(props);
  };
  return Object.assign(Lazy as FunctionComponent<P>, { preload });
}
