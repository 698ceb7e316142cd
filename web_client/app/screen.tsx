/** The screen of an open session: header, transcript, composer, and the panel beside them. */

import { useEffect, useMemo, useState } from "preact/hooks";
import type { BranchItem } from "../src/branches.js";
import type { Client } from "../src/client.js";
import type { RefusedEdit } from "../src/core/replica.js";
import type { Session } from "../src/session.js";
import type { Account } from "./account.js";
import { useAbsence } from "./caught_up.js";
import { Composer } from "./composer.js";
import { useNewest } from "./frame.js";
import { Header } from "./header.js";
import { HereProvider, type Here } from "./here.js";
import { useRead } from "./hooks.js";
import { lazy } from "./lazy.js";
import { useLinkStory } from "./link_story.js";
import { callGuest, titled } from "./names.js";
import { useChoice, useLongRun } from "./push/choice.js";
import { useSelection, useTarget } from "./selection.js";
import type { Shelf } from "./shelf.js";
import { Transcript } from "./transcript.js";

const Dialog = lazy(() => import("./dialog.js").then((module) => module.Dialog));
const Troubles = lazy(
  () => import("./troubles.js").then((module) => module.Troubles),
  ({ errors }) => <p role="alert">{errors.join(" ")}</p>,
);
const Panel = lazy(() => import("./panel.js").then((module) => module.Panel));
const Share = lazy(() => import("./share.js").then((module) => module.Share));
const Question = lazy(() => import("./push/bell.js").then((module) => module.Question));
const HandOver = lazy(() => import("./hand_over.js").then((module) => module.HandOver));

/** How long the end has to be seen until it counts as read, milliseconds. */
const READ_MS = 800;

interface Props {
  client: Client;
  session: Session;
  shelf: Shelf;
  account: Account;
  token: () => Promise<string>;
  target: string;
  wide: boolean;
  /** Whether somebody can be told on this device while they are not here. */
  told: boolean;
  openMenu: () => void;
  signOut: (reason: string) => void;
}

type Sheet = "share" | "hand-over" | "panel" | null;

export function Screen({ client, session, shelf, account, token, target, wide, told, openMenu, signOut }: Props) {
  const me = account.subject;
  const view = useSelection(session);
  const [errors, setErrors] = useState<readonly string[]>([]);
  const [cut, setCut] = useState(false);
  const [sheet, setSheet] = useState<Sheet>(null);
  const [panel, setPanel] = usePanel();
  const version = useRead(session, (now) => now.version);
  useRead(view, (now) => now.items);
  const [absence, dismiss] = useAbsence(session);
  const link = useLinkStory(session);
  useWhereabouts(session);
  const seen = useMarkRead(session);
  const [asking, answered] = useQuestion(session, me, told);
  const shownTarget = useTarget(view, target, version);
  const report = useNewest((error: unknown) => {
    console.error(error);
    setErrors((before) => [...before.slice(-2), error instanceof Error ? error.message : String(error)]);
  });
  const [refused, look] = useRefused(session, report);
  const live = !cut && session.status.link === "live";
  const here = useMemo<Here>(
    () => ({ client, session, view, me, live, report }),
    [client, session, view, me, live, report],
  );
  learnGuests(session, view.items);
  const title = titled(session.summary().title);
  useEffect(() => {
    document.title = title ? `${title} · syncd` : "syncd";
  }, [title]);
  const stepped = useNewest(() => dismissIfOld());
  function dismissIfOld() {
    // A branch that was left has no place for the line of what is new.
    if (absence && !view.items.some((item) => (item.message.seq ?? 0) > absence.behind)) dismiss();
  }
  const network = () => {
    client.network(cut);
    setCut(!cut);
  };
  return (
    <HereProvider value={here}>
      <Header
        title={title}
        absence={absence}
        cut={cut}
        wide={wide}
        panel={panel}
        network={network}
        togglePanel={() => (wide ? setPanel(!panel) : setSheet("panel"))}
        share={() => setSheet("share")}
        handOver={() => setSheet("hand-over")}
        openMenu={openMenu}
      />
      <div class="middle">
        {(errors.length > 0 || refused.length > 0 || session.status.link === "refused") && (
          <Troubles
            errors={errors}
            clear={() => setErrors([])}
            refused={refused}
            look={look}
            shelf={shelf}
            signOut={signOut}
          />
        )}
        {asking && <Question subject={me} token={token} done={answered} />}
        <Transcript absence={absence} dismiss={dismiss} changed={stepped} seen={seen} target={shownTarget} />
        <Composer sent={dismissIfOld} />
      </div>
      {wide && panel && (
        <aside class="side" aria-label="Document and timeline">
          <Panel link={link} shelf={shelf} />
        </aside>
      )}
      {!wide && sheet === "panel" && (
        <Dialog title="This session" kind="drawer-right" close={() => setSheet(null)}>
          <div class="line wrap">
            <button onClick={network}>{cut ? "Reconnect this tab" : "Cut this tab's network"}</button>
            <button onClick={() => setSheet("share")}>Share</button>
            <button onClick={() => setSheet("hand-over")}>Hand over</button>
          </div>
          <Panel link={link} shelf={shelf} />
        </Dialog>
      )}
      {sheet === "share" && <Share token={token} title={title} close={() => setSheet(null)} />}
      {sheet === "hand-over" && <HandOver close={() => setSheet(null)} />}
    </HereProvider>
  );
}

/** What guests are called: presence says it while they are here, and their own messages after that. */
function learnGuests(session: Session, items: readonly BranchItem[]): void {
  for (const { message } of items) if (message.by) callGuest(message.by, message.metadata["name"]);
  for (const { subject, name } of session.presence.everyone()) callGuest(subject, name);
}

/** Whether it is time to ask if they want to be told on this device, and what to call when they answered. */
function useQuestion(session: Session, me: string, told: boolean): [boolean, () => void] {
  const open = useChoice(me) === null && told && Notification.permission !== "denied";
  const long = useLongRun(session, open);
  const [asking, setAsking] = useState(false);
  useEffect(() => {
    // It stays until they are through with it: what came of their answer is said in its place.
    if (long) setAsking(true);
  }, [long]);
  return [asking, () => setAsking(false)];
}

/** Whether the panel is open, kept over reloads. */
function usePanel(): [boolean, (open: boolean) => void] {
  const name = "syncd:panel";
  const [open, setOpen] = useState(() => localStorage.getItem(name) !== "shut");
  return [
    open,
    (next) => {
      localStorage.setItem(name, next ? "open" : "shut");
      setOpen(next);
    },
  ];
}

/** Say in presence whether this tab is looked at, and on what. */
function useWhereabouts(session: Session): void {
  useEffect(() => {
    const say = () => {
      const where = matchMedia("(pointer: coarse)").matches ? "phone" : "computer";
      session.presence.update({ gone: null, where, away: document.visibilityState === "hidden" ? true : null });
    };
    say();
    document.addEventListener("visibilitychange", say);
    return () => {
      document.removeEventListener("visibilitychange", say);
      // It stays open for the list.
      session.presence.update({ gone: true, where: null, away: null, status: null, cursor: null });
    };
  }, [session]);
}

/** Own edits that the server refused for good, and what to call to look again. */
function useRefused(session: Session, report: (error: unknown) => void): [readonly RefusedEdit[], () => void] {
  const [edits, setEdits] = useState<readonly RefusedEdit[]>([]);
  const look = () => void session.refused().then(setEdits, report);
  useEffect(() => {
    look();
    const changes = session.changes();
    void (async () => {
      for await (const change of changes) if (change.kind === "refused") look();
    })();
    return () => changes.close();
  }, [session]);
  return [edits, look];
}

/** Returns what to call when the end is seen: a moment later it is marked as read. */
function useMarkRead(session: Session): () => void {
  const [state] = useState<{ timer: ReturnType<typeof setTimeout> | null }>({ timer: null });
  useEffect(
    () => () => {
      if (state.timer) clearTimeout(state.timer);
      state.timer = null;
    },
    [session],
  );
  return useNewest(() => {
    state.timer ??= setTimeout(() => {
      state.timer = null;
      // Without a link it would only be one more edit that waits, which nobody made knowingly.
      if (session.status.link !== "live" || !session.rights?.has("transcript")) return;
      if (document.visibilityState !== "visible") return;
      session.markRead().catch((error: unknown) => console.warn("what was read could not be noted:", error));
    }, READ_MS);
  });
}
