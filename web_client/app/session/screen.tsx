/** The screen of an open session: header, transcript, composer, and the panel beside them. */

import { useEffect, useMemo, useState } from "preact/hooks";
import type { BranchItem } from "../../src/branches.js";
import type { Client } from "../../src/client.js";
import type { Session } from "../../src/session.js";
import type { Account } from "../account/account.js";
import { useMarkRead, useWhereabouts } from "./attending.js";
import { useAbsence } from "./caught_up.js";
import { Composer } from "../composer/composer.js";
import type { TimelineEvent } from "../panel/events.js";
import { useFailures } from "./failures.js";
import { useNewest } from "../kit/frame.js";
import { Header } from "./header.js";
import { HereProvider, type Here } from "./here.js";
import { useRead } from "../kit/hooks.js";
import { lazy, nothing } from "../kit/lazy.js";
import { useLinkStory } from "../panel/link_story.js";
import { callGuest, titled } from "../people/names.js";
import type { Route } from "../routes.js";
import { useSelection, useTarget } from "./selection.js";
import type { Shelf } from "../list/shelf.js";
import { Transcript } from "../transcript/transcript.js";

const Dialog = lazy(() => import("../kit/dialog.js").then((module) => module.Dialog));
const Troubles = lazy(
  () => import("./troubles.js").then((module) => module.Troubles),
  ({ failures }) => <p role="alert">{failures.errors.join(" ")}</p>,
);
const Panel = lazy(() => import("../panel/panel.js").then((module) => module.Panel));
const Share = lazy(() => import("../people/share.js").then((module) => module.Share));
const Question = lazy(() => import("../push/bell.js").then((module) => module.Question), nothing);
const HandOver = lazy(() => import("../people/hand_over.js").then((module) => module.HandOver));

export interface ScreenProps {
  client: Client;
  session: Session;
  shelf: Shelf;
  account: Account;
  token: () => Promise<string>;
  /** What was asked for: the message to show, if it names one. */
  target: Route;
  wide: boolean;
  /** Whether somebody can be told on this device while they are not here. */
  told: boolean;
  /** Whether this tab was cut off by hand. */
  cut: boolean;
  /** Cut it off, or let it back. */
  network: () => void;
  openMenu: () => void;
  signOut: (reason: string) => void;
}

type Sheet = "share" | "hand-over" | "panel" | null;

export function Screen(props: ScreenProps) {
  const { client, session, shelf, account, token, target, wide, told, cut, network, openMenu, signOut } = props;
  const me = account.subject;
  const view = useSelection(session, me);
  const [sheet, setSheet] = useState<Sheet>(null);
  const [panel, setPanel] = usePanel();
  const version = useRead(session, (now) => now.version);
  useRead(view, (now) => now.items);
  const [absence, dismiss] = useAbsence(session);
  const link = useLinkStory(session);
  useWhereabouts(session);
  const seen = useMarkRead(session);
  const shownTarget = useTarget(view, target, version);
  const failures = useFailures(session);
  const { report } = failures;
  const live = !cut && session.status.link === "live";
  const here = useMemo<Here>(
    () => ({ client, session, view, me, live, report }),
    [client, session, view, me, live, report],
  );
  learnGuests(session, view.items);
  const title = useTitle(session);
  const stepped = useNewest(() => dismissIfOld());
  function dismissIfOld() {
    // A branch that was left has no place for the line of what is new.
    if (absence && !view.items.some((item) => (item.message.seq ?? 0) > absence.behind)) dismiss();
  }
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
        {(failures.errors.length > 0 || failures.refused.length > 0 || session.status.link === "refused") && (
          <Troubles failures={failures} shelf={shelf} signOut={signOut} />
        )}
        {told && <Question subject={me} token={token} session={session} />}
        <Transcript absence={absence} dismiss={dismiss} changed={stepped} seen={seen} target={shownTarget} />
        <Composer sent={dismissIfOld} />
      </div>
      {wide && panel && (
        <aside class="side" aria-label="Document and timeline">
          <Panel link={link} shelf={shelf} />
        </aside>
      )}
      <Sheets sheet={sheet} show={setSheet} {...{ cut, network, link, shelf, token, title, wide }} />
    </HereProvider>
  );
}

interface SheetsProps {
  sheet: Sheet;
  show: (sheet: Sheet) => void;
  cut: boolean;
  network: () => void;
  link: readonly TimelineEvent[];
  shelf: Shelf;
  token: () => Promise<string>;
  title: string;
  wide: boolean;
}

/** What lies over the screen; on a phone that is where the panel is, and what the header has no room for. */
function Sheets({ sheet, show, cut, network, link, shelf, token, title, wide }: SheetsProps) {
  const close = () => show(null);
  if (sheet === "share") return <Share token={token} title={title} close={close} />;
  if (sheet === "hand-over") return <HandOver close={close} />;
  if (sheet !== "panel" || wide) return null;
  return (
    <Dialog title="This session" kind="drawer-right" close={close}>
      <div class="line wrap">
        <button onClick={network}>{cut ? "Reconnect this tab" : "Cut this tab's network"}</button>
        <button onClick={() => show("share")}>Share</button>
        <button onClick={() => show("hand-over")}>Hand over</button>
      </div>
      <Panel link={link} shelf={shelf} />
    </Dialog>
  );
}

/** What guests are called: presence says it while they are here, and their own messages after that. */
function learnGuests(session: Session, items: readonly BranchItem[]): void {
  for (const { message } of items) if (message.by) callGuest(message.by, message.metadata["name"]);
  for (const { subject, name } of session.presence.everyone()) callGuest(subject, name);
}

/** What the session is called; the tab is called so too. */
function useTitle(session: Session): string {
  const title = titled(session.summary().title);
  useEffect(() => {
    document.title = title ? `${title} · syncd` : "syncd";
    return () => {
      document.title = "syncd";
    };
  }, [title]);
  return title;
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
