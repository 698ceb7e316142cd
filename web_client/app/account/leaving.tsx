/** Leaving: whoever signs out with edits that are not on the server is told what becomes of them, and decides. */

import { useEffect, useState } from "preact/hooks";
import type { Client } from "../../src/client.js";
import type { Account } from "./account.js";
import { Dialog } from "../kit/dialog.js";
import { plural } from "../people/names.js";
import { countUnsent } from "../session/unsent.js";

/** How long edits that are on their way are waited for before anybody is asked, milliseconds. */
const WAIT_MS = 1500;
/** How often they are counted, milliseconds. */
const LOOK_MS = 250;

interface Props {
  client: Client;
  account: Account;
  /** Why they have to sign in again; empty for those who leave by themselves. */
  why: string;
  leave: () => void;
  stay: () => void;
}

export function Leaving({ client, account, why, leave, stay }: Props) {
  // Null while nobody is asked.
  const [unsent, setUnsent] = useState<number | null>(null);
  const isGuest = account.token === "";
  useEffect(() => {
    let over = false;
    let asked = false;
    let timer: ReturnType<typeof setTimeout>;
    const until = Date.now() + WAIT_MS;
    const look = async () => {
      // Where nothing can be stored nothing waits.
      const count = await countUnsent(client).catch(() => 0);
      if (over) return;
      // Who only signs in again gets them back by that.
      if (!asked && (count === 0 || (why && !isGuest))) return leave();
      asked ||= client.status.link !== "live" || Date.now() > until;
      if (asked) setUnsent(count);
      timer = setTimeout(look, LOOK_MS);
    };
    void look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, []);
  if (unsent === null) return null;
  const one = unsent === 1;
  return (
    <Dialog title="Sign out?" close={stay}>
      {unsent === 0 ? (
        <p>Everything is on the server now.</p>
      ) : (
        <>
          <p>
            {plural(unsent, "edit")} of yours {one ? "is" : "are"} on this device only, not sent yet.
          </p>
          <p>
            {isGuest
              ? `${one ? "It is" : "They are"} lost when you sign out: by the link you come back as another guest.`
              : `${one ? "It goes" : "They go"} out when you sign in here again as ${account.name}.`}
          </p>
        </>
      )}
      <div class="line wrap">
        <button class="primary" autofocus onClick={stay}>
          Stay
        </button>
        <button onClick={leave}>{unsent > 0 && isGuest ? "Sign out and lose them" : "Sign out"}</button>
      </div>
    </Dialog>
  );
}
