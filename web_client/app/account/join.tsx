/** Joining by a link that somebody shared: under a name, and then right into the session. */

import { useState } from "preact/hooks";
import type { Account } from "./account.js";
import { join } from "./arrival.js";
import { focused } from "../kit/frame.js";
import { go } from "../routes.js";

interface Props {
  code: string;
  /** Who is signed in here already; null for nobody. */
  account: Account | null;
  joined: (account: Account, session: string) => void;
}

export function Join({ code, account, joined }: Props) {
  const [name, setName] = useState(account?.name ?? "");
  const [failed, setFailed] = useState("");
  const [busy, setBusy] = useState(false);
  const enter = async () => {
    setBusy(true);
    setFailed("");
    try {
      const { account: next, session } = await join(code, name.trim(), account);
      joined(next, session);
    } catch (error) {
      setFailed(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void enter();
        }}
      >
        <img src="/icon.svg" alt="" width="48" height="48" />
        <h1>You are invited</h1>
        {account ? (
          <p>
            Somebody shared a session with you. You join as <b>{account.name}</b>.
          </p>
        ) : (
          <>
            <p>Somebody shared a session with you. How do you want to be called there?</p>
            <label>
              Your name
              <input
                value={name}
                required
                autocomplete="nickname"
                maxLength={60}
                ref={focused}
                onInput={(event) => setName(event.currentTarget.value)}
              />
            </label>
          </>
        )}
        <button class="primary" disabled={busy}>
          Join
        </button>
        {failed && (
          <p class="failure" role="alert">
            {failed}
          </p>
        )}
        {(account || failed) && (
          <button type="button" class="plain" onClick={() => go("/", { replace: true })}>
            {account ? "Go on without it" : "Come in another way"}
          </button>
        )}
      </form>
    </main>
  );
}
