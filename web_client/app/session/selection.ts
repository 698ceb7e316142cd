/** What is selected in a session: which alternatives are shown, kept over reloads; and the message a link names. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Selection } from "../../src/branches.js";
import type { Session } from "../../src/session.js";
import type { View } from "../../src/view.js";
import type { Route } from "../routes.js";

const PAGE = 50;

/** A view of the session as `me` left it on this device. */
export function useSelection(session: Session, me: string): View {
  const name = `syncd:branch:${me}:${session.id}`;
  const [view] = useState(() => session.view({ page: PAGE, selected: kept(name) }));
  useEffect(
    () =>
      view.subscribe(() => {
        const { selected } = view;
        if (Object.keys(selected).length > 0) localStorage.setItem(name, JSON.stringify(selected));
      }),
    [view, name],
  );
  return view;
}

/**
 * Make the message that a link names visible: on its branch, and not above what is shown. Returns the route once it is,
 * null before that: the same link followed again is another route. `version` moves when something changed: it may have
 * come meanwhile.
 */
export function useTarget(view: View, target: Route, version: number): Route | null {
  const [shown, setShown] = useState<Route | null>(null);
  const tried = useRef<Route>(null);
  useEffect(() => {
    const { message } = target;
    if (!message || tried.current === target) return;
    try {
      view.select(message);
    } catch {
      return; // Not in this copy yet.
    }
    tried.current = target;
    void (async () => {
      // Until another one is asked for: whatever comes meanwhile is no reason to give up.
      const wanted = () => tried.current === target;
      while (wanted() && view.olderCount > 0 && !view.items.some((item) => item.message.id === message))
        await view.older(4 * PAGE);
      if (wanted()) setShown(target);
    })();
  }, [view, target, version]);
  return shown;
}

function kept(name: string): Selection {
  try {
    const selected: unknown = JSON.parse(localStorage.getItem(name) ?? "{}");
    return typeof selected === "object" && selected !== null ? (selected as Selection) : {};
  } catch {
    return {};
  }
}
