/** Routes: `/` is no session, `/s/ID` one of them, `?m=` a message in it, `#invite=` a link that was shared. */

import { useEffect, useState } from "preact/hooks";

export interface Route {
  /** Empty for none. */
  readonly session: string;
  readonly message: string;
  /** The code of an invitation; empty for none. */
  readonly invite: string;
}

const MOVED = "syncd:moved";
const SESSION = /^\/s\/([A-Za-z0-9_-]{1,64})\/?$/;

export function routeOf({ pathname, search, hash }: { pathname: string; search: string; hash: string }): Route {
  return {
    session: SESSION.exec(pathname)?.[1] ?? "",
    message: new URLSearchParams(search).get("m") ?? "",
    // Behind the hash it is sent to no server and stands in no log.
    invite: new URLSearchParams(hash.slice(1)).get("invite") ?? "",
  };
}

export function pathOf(session: string, message = ""): string {
  if (!session) return "/";
  return message ? `/s/${session}?m=${encodeURIComponent(message)}` : `/s/${session}`;
}

/** Show another route. `replace`: the one left is none to come back to. */
export function go(path: string, { replace = false } = {}): void {
  history[replace ? "replaceState" : "pushState"](null, "", path);
  dispatchEvent(new Event(MOVED));
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => routeOf(location));
  useEffect(() => {
    const moved = () => setRoute(routeOf(location));
    for (const event of ["popstate", "hashchange", MOVED]) addEventListener(event, moved);
    return () => {
      for (const event of ["popstate", "hashchange", MOVED]) removeEventListener(event, moved);
    };
  }, []);
  return route;
}

/** For a link inside of the console: a plain click moves without loading the page again. */
export function followed(event: MouseEvent, path: string): boolean {
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return false;
  event.preventDefault();
  go(path);
  return true;
}
