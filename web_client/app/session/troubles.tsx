/** Troubles: what a person has to know and can do something about, above the transcript. */

import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import type { RefusedEdit } from "../../src/core/replica.js";
import { copyOut } from "../kit/copying.js";
import type { Failures } from "./failures.js";
import { useAsk, useHere } from "./here.js";
import { plural, shown } from "../people/names.js";
import { textsOf } from "./refused.js";
import { go } from "../routes.js";
import type { Shelf } from "../list/shelf.js";
import { textsUnsent } from "./unsent.js";

interface Props {
  failures: Failures;
  shelf: Shelf;
  signOut: (reason: string) => void;
}

/** Close codes of PROTOCOL 6 that another token may mend, and those that end a session. */
const TOKEN_CODES = new Set([4001, 4401, 4411]);
const GONE_CODES = new Set([4403, 4410, 4412, 4413]);

const WORDS: Readonly<Record<number, string>> = {
  4001: "The token expired.",
  4401: "The server does not take this token.",
  4403: "There is no such session, or this token does not name it.",
  4410: "This session was deleted for good. What is on this device is a copy.",
  4411: "The token was revoked.",
  4412: "This session is damaged on the server. Its operator can restore it.",
  4413: "On the server this is another session now. What is on this device is kept apart from it.",
  4426: "This console is too old for the server. Load the page again.",
};

export function Troubles({ failures, shelf, signOut }: Props) {
  const { errors, clear, refused, look } = failures;
  const { client, session } = useHere();
  const ask = useAsk();
  const { link, code, reason } = session.status;
  const unsent = GONE_CODES.has(code) ? textsUnsent(session) : [];
  const words = WORDS[code] ?? (reason || `The server refused, with code ${code}.`);
  return (
    <>
      {link === "refused" && (
        <Trouble>
          <p>{words}</p>
          <button onClick={() => client.retry()}>Try again</button>
          {TOKEN_CODES.has(code) && <button onClick={() => signOut(words)}>Sign in again</button>}
          {unsent.length > 0 && (
            <button onClick={() => ask(() => copyOut(unsent.join("\n\n")))}>Copy what was not sent</button>
          )}
          {GONE_CODES.has(code) && (
            <button
              onClick={() => {
                void shelf.forget(session.id).then(() => go("/"));
              }}
            >
              Erase the copy on this device
            </button>
          )}
        </Trouble>
      )}
      {refused.length > 0 && <Refused edits={refused} look={look} />}
      {errors.length > 0 && (
        <Trouble>
          {errors.map((error, at) => (
            <p key={at}>{error}</p>
          ))}
          <button onClick={clear}>Dismiss</button>
        </Trouble>
      )}
    </>
  );
}

/** Own edits that the server refused for good: what was in them can be kept. */
function Refused({ edits, look }: { edits: readonly RefusedEdit[]; look: () => void }) {
  const { session } = useHere();
  const ask = useAsk();
  const texts = useMemo(() => textsOf(edits, session.state.document), [edits]);
  return (
    <Trouble>
      <p>
        {plural(edits.length, "edit")} of yours {edits.length === 1 ? "was" : "were"} refused by the server:{" "}
        {shown(edits.at(-1)!.reason || edits.at(-1)!.code)}.
      </p>
      {texts.map((text, at) => (
        <blockquote key={at}>{text}</blockquote>
      ))}
      {texts.length > 0 && <button onClick={() => ask(() => copyOut(texts.join("\n\n")))}>Copy</button>}
      <button
        onClick={() =>
          ask(async () => {
            await session.dropRefused();
            look();
          })
        }
      >
        Let go of them
      </button>
    </Trouble>
  );
}

function Trouble({ children }: { children: ComponentChildren }) {
  return (
    <div class="trouble" role="alert">
      {children}
    </div>
  );
}
