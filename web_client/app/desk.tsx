/** The desk of one person: their client, all their sessions, and the one that is open. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Client } from "../src/client.js";
import searchWorker from "../src/search/worker.ts?worker&url";
import { uuid7 } from "../src/core/ids.js";
import { storeOf, tokenOf, type Account } from "./account/account.js";
import { useMedia } from "./kit/frame.js";
import { useRead } from "./kit/hooks.js";
import { lazy, nothing } from "./kit/lazy.js";
import { Opened } from "./session/opened.js";
import { callGuest } from "./people/names.js";
import { go, pathOf, type Route } from "./routes.js";
import { Shelf } from "./list/shelf.js";

const Attending = lazy(() => import("./push/bell.js").then((module) => module.Attending), nothing);
const Bell = lazy(() => import("./push/bell.js").then((module) => module.Bell), nothing);
const SessionList = lazy(() => import("./list/session_list.js").then((module) => module.SessionList));
const Dialog = lazy(() => import("./kit/dialog.js").then((module) => module.Dialog));
const Leaving = lazy(() => import("./account/leaving.js").then((module) => module.Leaving));
const Welcome = lazy(
  () => import("./list/welcome.js").then((module) => module.Welcome),
  ({ children }) => <main class="welcome">{children}</main>,
);
const Search = lazy(() => import("./list/search.js").then((module) => module.Search));

/** As in the stylesheet: from here on there is room for the list beside the transcript. */
export const WIDE = "(min-width: 901px)";

/** How long the list waits at most for an open session to be shown and synced, milliseconds. */
const REFRESH_MS = 1500;

interface Props {
  account: Account;
  route: Route;
  demo: string | null;
  /** Whether the server can tell people's devices what they were not there for. */
  push: boolean;
  /** Somebody else is to sign in, and why. */
  signedOut: (reason: string) => void;
}

export function Desk({ account, route, demo, push, signedOut }: Props) {
  const [desk] = useState(() => open(account));
  const { client, shelf, token } = desk;
  const told = push && canBeTold();
  // Why somebody is about to sign out, empty if by themselves; null for nobody.
  const [leaving, signOut] = useState<string | null>(null);
  const leave = () => {
    if (told) {
      import("./push/device.js")
        .then((device) => device.leave(account.subject, token))
        .catch((error: unknown) => console.warn("this device may still be told what happens:", error));
    }
    signedOut(leaving!);
  };
  // It is the client's, whichever session is looked at.
  const [cut, setCut] = useState(false);
  const wide = useMedia(WIDE);
  const [menu, setMenu] = useState(false);
  const [searching, setSearching] = useState(false);
  useKeptUp(desk, route.session !== "");
  useSearchKey(() => setSearching(true));
  const list = (chosen: () => void) => (
    <Side
      shelf={shelf}
      current={route.session}
      name={account.name}
      chosen={chosen}
      search={() => {
        chosen();
        setSearching(true);
      }}
      bell={told && <Bell subject={account.subject} token={token} />}
      signOut={() => signOut("")}
    />
  );
  return (
    <div class={route.session ? "desk" : "desk none-open"}>
      {route.session && (
        <button class="skip" onClick={() => document.querySelector<HTMLElement>(".composer textarea")?.focus()}>
          Skip to the message field
        </button>
      )}
      {wide && (
        <nav class="side" aria-label="Sessions">
          {list(() => {})}
        </nav>
      )}
      {!wide && menu && (
        <Dialog title="syncd" kind="drawer-left" close={() => setMenu(false)}>
          <nav aria-label="Sessions">{list(() => setMenu(false))}</nav>
        </Dialog>
      )}
      {route.session ? (
        <Opened
          key={route.session}
          client={client}
          shelf={shelf}
          account={account}
          token={token}
          id={route.session}
          target={route}
          wide={wide}
          told={told}
          cut={cut}
          network={() => {
            client.network(cut);
            setCut(!cut);
          }}
          openMenu={() => setMenu(true)}
          signOut={signOut}
        />
      ) : (
        <Welcome demo={demo}>{!wide && list(() => {})}</Welcome>
      )}
      {told && <Attending subject={account.subject} token={token} session={route.session} />}
      {searching && <Search shelf={shelf} token={token} close={() => setSearching(false)} />}
      {leaving !== null && <Leaving {...{ client, account, leave }} why={leaving} stay={() => signOut(null)} />}
    </div>
  );
}

interface SideProps {
  shelf: Shelf;
  current: string;
  name: string;
  /** Something was chosen: a drawer that holds this can go. */
  chosen: () => void;
  search: () => void;
  bell: ComponentChildren;
  signOut: () => void;
}

/** All sessions, and who is signed in. */
function Side({ shelf, current, name, bell, chosen, search, signOut }: SideProps) {
  const looked = useRead(shelf, ({ looked: once }) => once);
  const create = () => {
    chosen();
    letGo();
    go(pathOf(uuid7(Date.now())));
  };
  return (
    <>
      {looked && <SessionList shelf={shelf} current={current} chosen={chosen} create={create} search={search} />}
      <footer>
        <span>
          Signed in as <b>{name}</b>
        </span>
        {looked && bell}
        <button class="plain" onClick={signOut}>
          Sign out
        </button>
      </footer>
    </>
  );
}

/** Whether this browser can tell anybody anything while the console is closed. */
function canBeTold(): boolean {
  return "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
}

/** Give up the focus: what comes next may have a better use for it. */
function letGo(): void {
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}

interface Tools {
  readonly client: Client;
  readonly shelf: Shelf;
  readonly token: () => Promise<string>;
}

function open(account: Account): Tools {
  callGuest(account.subject, account.name);
  const token = tokenOf(account);
  const client = new Client({
    token: account.codes.length > 0 ? token : account.token,
    store: storeOf(account),
    searchWorker,
  });
  return { client, shelf: new Shelf(client), token };
}

/** Keep the list up to date, and close everything in the end. */
function useKeptUp({ client, shelf }: Tools, isOpen: boolean): void {
  useEffect(() => {
    // The session that is looked at comes first.
    const timer = setTimeout(() => shelf.looked || void shelf.refresh(), isOpen ? REFRESH_MS : 0);
    const back = () => void shelf.refresh();
    addEventListener("online", back);
    return () => {
      clearTimeout(timer);
      removeEventListener("online", back);
      shelf.close();
      void client.close();
    };
  }, [client, shelf]);
}

/** Ctrl+K, as everywhere. */
function useSearchKey(search: () => void): void {
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey)
        return;
      event.preventDefault();
      search();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
}
