/**
 * The transcript: what is visible of a session, with the way to what is older.
 *
 * 1. Who reads the live end stays there; who reads further up is not moved, whatever comes.
 * 2. Only a page is drawn at first, and what is off the screen costs no layout (see the stylesheet).
 */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Absence } from "../session/caught_up.js";
import { handoffsOf } from "./handoffs.js";
import { useAsk, useHere } from "../session/here.js";
import { lazy } from "../kit/lazy.js";
import { memo } from "../kit/memo.js";
import { MessageRow } from "./message_row.js";
import { nameOf, plural, shown } from "../people/names.js";
import type { Route } from "../routes.js";
import { rowsOf, settled, type Row } from "./rows.js";
import { RunCard } from "./run_card.js";
import { day } from "../kit/times.js";
import { Typing } from "./typing.js";

const Listening = lazy(() => import("../session/listening.js").then((module) => module.Listening));

/** How near the end counts as being there, in pixels. */
const NEAR_PX = 80;
const PAGE = 50;

interface Props {
  absence: Absence | null;
  dismiss: () => void;
  /** Draw again: what is selected, or how far back it goes, is another. */
  changed: () => void;
  /** Called when the end is seen, so that what stands there was read. */
  seen: () => void;
  /** Where a link led that names a message; null for nowhere. */
  target: Route | null;
}

export function Transcript({ absence, dismiss, changed, seen, target }: Props) {
  const { session, view, live } = useHere();
  const ask = useAsk();
  const box = useRef<HTMLElement>(null);
  const scroll = useStay(box, session.id, seen);
  useTarget(box, target, scroll.leave);
  const items = view.items;
  const spoke = (run: string) => session.messagesOf(run).some((message) => !session.superseded(message));
  const rows = rowsOf(items, session.runs(), handoffsOf(session), absence?.behind ?? null, spoke);
  const older = view.olderCount;
  const reveal = () =>
    ask(async () => {
      scroll.hold();
      await view.older(PAGE);
      changed();
    });
  return (
    <>
      {absence && <CaughtUp absence={absence} box={box} dismiss={dismiss} leave={scroll.leave} />}
      <main class="transcript" ref={box} tabIndex={-1} aria-label="Messages">
        <div class="rows">
          {older > 0 && (
            <p class="note">
              <button onClick={reveal}>Load older</button> {older} above
            </p>
          )}
          {rows.length === 0 && <Empty />}
          {rows.map((row) => (
            <Line key={row.key} row={row} stepped={changed} />
          ))}
          <Typing />
        </div>
      </main>
      {live && <Listening />}
    </>
  );
}

interface LineProps {
  row: Row;
  stepped: () => void;
}

const Line = memo(
  ({ row, stepped }: LineProps) => drawn(row, stepped),
  (one, other) => one.stepped === other.stepped && settled(one.row, other.row),
);

function drawn(row: Row, stepped: () => void) {
  switch (row.kind) {
    case "message":
      return <MessageRow item={row.item} stepped={stepped} />;
    case "run":
      return <RunCard row={row} stepped={stepped} />;
    case "handoff":
      return (
        <p class="note">
          <b>{nameOf(row.by)}</b> handed over to <b>{nameOf(row.to)}</b>
          {row.note && `: ${shown(row.note)}`}
        </p>
      );
    case "day":
      return <p class="line-day">{day(row.at)}</p>;
    case "new":
      return (
        <p class="line-new" data-new tabIndex={-1}>
          New since you were away
        </p>
      );
  }
}

function CaughtUp({
  absence,
  box,
  dismiss,
  leave,
}: {
  absence: Absence;
  box: { current: HTMLElement | null };
  dismiss: () => void;
  leave: () => void;
}) {
  const { count, finished } = absence;
  const show = () => {
    leave();
    const mark = box.current?.querySelector<HTMLElement>("[data-new]");
    mark?.scrollIntoView({ block: "start" });
    mark?.focus({ preventScroll: true });
  };
  return (
    <p class="caught-up">
      Caught up: {plural(count, "event")} while you were away
      {finished > 0 && `, ${plural(finished, "run")} finished`}
      <button onClick={show}>Show</button>
      <button onClick={dismiss}>Dismiss</button>
    </p>
  );
}

function Empty() {
  const { live } = useHere();
  return (
    <p class="note empty">
      Nothing was said here yet.{" "}
      {live
        ? "Ask an agent by its name, as in “@planner, a weekend in Lisbon?”"
        : "What you write is kept, and goes out with the next connection."}
    </p>
  );
}

/** Keep to the live end while it is read, and else to what is read. Invariant 1. */
function useStay(box: { current: HTMLElement | null }, session: string, seen: () => void) {
  const stays = useRef(true);
  const held = useRef<number | null>(null);
  useEffect(() => {
    stays.current = true;
  }, [session]);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (held.current !== null && element.scrollHeight !== held.current) {
      element.scrollTop += element.scrollHeight - held.current;
      held.current = null;
    } else if (stays.current) {
      element.scrollTop = element.scrollHeight;
      if (document.visibilityState === "visible") seen();
    }
  });
  useEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const look = () => {
      const left = element.scrollHeight - element.scrollTop - element.clientHeight;
      stays.current = left < NEAR_PX;
      if (stays.current && document.visibilityState === "visible") seen();
    };
    // What grows without a drawing of all: an opened fold, an editor, a turned phone, a keyboard on the screen.
    const grown = new ResizeObserver(() => {
      if (stays.current) element.scrollTop = element.scrollHeight;
    });
    element.addEventListener("scroll", look, { passive: true });
    document.addEventListener("visibilitychange", look);
    if (element.firstElementChild) grown.observe(element.firstElementChild);
    grown.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      document.removeEventListener("visibilitychange", look);
      grown.disconnect();
    };
  }, [session]);
  return {
    /** Something is about to be put above: keep what is read where it is. */
    hold: () => {
      held.current = box.current?.scrollHeight ?? null;
    },
    leave: () => {
      stays.current = false;
    },
  };
}

/** Go to the message that a link names, once each time that it is followed. */
function useTarget(box: { current: HTMLElement | null }, target: Route | null, leave: () => void): void {
  const gone = useRef<Route>(null);
  useLayoutEffect(() => {
    if (!target || gone.current === target) return;
    const element = box.current?.querySelector<HTMLElement>(`#m-${CSS.escape(target.message)}`);
    if (!element) return;
    gone.current = target;
    leave();
    element.scrollIntoView({ block: "center" });
    element.classList.add("found");
  });
}
