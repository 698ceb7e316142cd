/** Share: a link that lets somebody in, with a role, for a time, and the way to take it back. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ROLES, invitations, invite, withdraw, type Invitation, type RoleName } from "./invites.js";
import { copyOut } from "../kit/copying.js";
import { Dialog } from "../kit/dialog.js";
import { useHere } from "../session/here.js";
import { titled } from "./names.js";
import { lasted } from "../kit/times.js";

const DAY_S = 86_400;
const TIMES: readonly (readonly [label: string, seconds: number])[] = [
  ["1 hour", 3_600],
  ["1 day", DAY_S],
  ["7 days", 7 * DAY_S],
];

export function Share({ token, title, close }: { token: () => Promise<string>; title: string; close: () => void }) {
  const { session, me } = useHere();
  const place = { session: session.id, me };
  const [role, setRole] = useState<RoleName>("editor");
  const [seconds, setSeconds] = useState(DAY_S);
  const [link, setLink] = useState("");
  const [given, setGiven] = useState<readonly Invitation[]>(() => invitations(place));
  const field = useRef<HTMLInputElement>(null);
  const [copied, setCopied] = useState("");
  const [failed, setFailed] = useState("");
  const attempt = (asked: () => Promise<unknown>) => {
    setFailed("");
    asked().catch((error: unknown) => setFailed(error instanceof Error ? error.message : String(error)));
  };
  const look = () => setGiven(invitations(place));
  const make = () =>
    attempt(async () => {
      const made = await invite(await token(), place, role, seconds);
      setLink(made);
      setCopied("");
      look();
    });
  const copy = () => {
    copyOut(link).then(
      () => setCopied("Copied."),
      () => {
        field.current?.focus();
        field.current?.select();
        setCopied("This page may not copy by itself. The link is selected: press Ctrl+C (⌘C).");
      },
    );
  };
  useEffect(() => field.current?.select(), [link]);
  return (
    <Dialog title="Share" close={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          make();
        }}
      >
        <p class="state">Whoever has the link can open “{titled(title) || session.id}”, and only that.</p>
        <fieldset>
          <legend>They may</legend>
          {ROLES.map(({ name, label }) => (
            <label key={name} class="choice">
              <input type="radio" name="role" checked={role === name} onChange={() => setRole(name)} /> {label}
            </label>
          ))}
        </fieldset>
        <label>
          The link is good for
          <select value={seconds} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
            {TIMES.map(([label, value]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <button class="primary">Make a link</button>
      </form>
      {failed && <p class="failure">{failed}</p>}
      {link && (
        <>
          <div class="line">
            <input class="link" readOnly aria-label="Link" value={link} ref={field} />
            <button onClick={copy}>Copy</button>
          </div>
          <p class="state" role="status">
            {copied}
          </p>
        </>
      )}
      {given.length > 0 && (
        <>
          <h3>Links made here</h3>
          <ul class="given">
            {given.map((one) => (
              <li key={one.id} class="line">
                <span>
                  {ROLES.find(({ name }) => name === one.role)?.label ?? one.role}
                  <small> good for {lasted(one.expiresAt - Date.now())}</small>
                </span>
                <button
                  onClick={() =>
                    attempt(async () => {
                      await withdraw(await token(), place, one.id);
                      look();
                    })
                  }
                >
                  Take back
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </Dialog>
  );
}
