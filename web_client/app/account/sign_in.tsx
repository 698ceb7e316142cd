/** Signing in: a name on a server in development mode, else a token; or the link that somebody shared. */

import { useState } from "preact/hooks";
import type { Account } from "./account.js";
import { fromName, fromToken } from "./arrival.js";
import type { ServerInfo } from "../kit/api.js";
import { focused } from "../kit/frame.js";

interface Props {
  /** What the server said; null while it was not reached. */
  info: ServerInfo | null;
  /** Why who was signed in is not any more; empty for no reason. */
  reason: string;
  signedIn: (account: Account) => void;
}

export function SignIn({ info, reason, signedIn }: Props) {
  const [value, setValue] = useState("");
  const [wrong, setWrong] = useState("");
  const dev = info?.dev ?? false;
  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const account = dev ? fromName(value) : fromToken(value.trim());
          if (account) signedIn(account);
          else
            setWrong(
              dev
                ? "A name has letters, digits, dots and dashes."
                : "That is no token. It has three parts with dots between.",
            );
        }}
      >
        <img src="/icon.svg" alt="" width="48" height="48" />
        <h1>syncd</h1>
        <p>Sessions that people, their devices and agents share, and that go on without a network.</p>
        {reason && <p class="failure">{reason}</p>}
        {info === null ? (
          <p class="state">The server does not answer. To sign in, it has to; after that, no more.</p>
        ) : (
          <>
            <label>
              {dev ? "Your name" : "Your token"}
              <input
                value={value}
                autocomplete={dev ? "nickname" : "off"}
                autocapitalize="none"
                spellcheck={false}
                required
                {...(dev ? { type: "text" as const } : { type: "password" as const })}
                aria-describedby="sign-in-help"
                ref={focused}
                onInput={(event) => setValue(event.currentTarget.value)}
              />
            </label>
            <button class="primary">{dev ? "Come in" : "Sign in"}</button>
            <p class="state" id="sign-in-help" role="status">
              {wrong ||
                (dev
                  ? "This server runs in development mode: a name is enough."
                  : "Whoever runs this server has one for you, or a link to a session.")}
            </p>
          </>
        )}
      </form>
    </main>
  );
}
