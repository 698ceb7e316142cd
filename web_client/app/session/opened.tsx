/** Opening a session: from this device's copy, so it takes no network; or why it could not be opened. */

import { useEffect, useState } from "preact/hooks";
import type { Client } from "../../src/client.js";
import type { Session } from "../../src/session.js";
import type { Account } from "../account/account.js";
import { Markdown } from "../transcript/parts.js";
import { Screen } from "./screen.js";
import type { Route } from "../routes.js";
import type { Shelf } from "../list/shelf.js";

interface Props {
  client: Client;
  shelf: Shelf;
  account: Account;
  token: () => Promise<string>;
  id: string;
  /** What was asked for: the message to show, if it names one. */
  target: Route;
  wide: boolean;
  told: boolean;
  cut: boolean;
  network: () => void;
  openMenu: () => void;
  signOut: (reason: string) => void;
}

export function Opened(props: Props) {
  const { shelf, id } = props;
  const [session, setSession] = useState<Session | null>(null);
  const [failed, setFailed] = useState<string>("");
  useEffect(() => {
    let over = false;
    // The code that draws its messages comes meanwhile.
    Promise.all([shelf.open(id), Markdown.preload()]).then(
      ([opened]) => over || setSession(opened),
      (error: unknown) => over || setFailed(error instanceof Error ? error.message : String(error)),
    );
    return () => {
      over = true;
      shelf.leave(id);
    };
  }, [shelf, id]);
  if (failed) {
    return (
      <main class="welcome">
        <h1>This session does not open</h1>
        <p class="failure">{failed}</p>
        <p>
          <button
            onClick={() => {
              void shelf.forget(id).then(() => location.reload());
            }}
          >
            Erase the copy on this device and load it again
          </button>
        </p>
      </main>
    );
  }
  // A copy opens within a few frames: a sign that it loads would only flicker.
  if (!session) return <main class="transcript" aria-busy="true" aria-label="Messages" />;
  return <Screen {...props} session={session} />;
}
