/**
 * The bell, by which somebody is told on this device or not, and the one question that is asked about it.
 *
 * All of it is loaded where the server tells people on their devices, and behind what is looked at.
 */

import { useEffect, useState } from "preact/hooks";
import type { Session } from "../../src/session.js";
import { Icon } from "../kit/icons.js";
import { choose, useChoice, useLongRun } from "./choice.js";
import { attend, NotTold, turnOff, turnOn } from "./device.js";

interface Props {
  subject: string;
  token: () => Promise<string>;
}

/** Shows nothing, and keeps this device told while somebody wants it. `session` is the one that is looked at. */
export function Attending({ subject, token, session }: Props & { session: string }) {
  const choice = useChoice(subject);
  useEffect(() => (choice === "on" ? attend(subject, token, session) : undefined), [subject, token, session, choice]);
  return null;
}

/** Turns it on and off. */
export function Bell({ subject, token }: Props) {
  const choice = useChoice(subject);
  const [busy, attempt, failure] = useAttempt();
  const on = choice === "on";
  return (
    <>
      <button
        class="plain bell"
        aria-label="Notifications on this device"
        aria-pressed={on}
        title={on ? "You are told on this device when something needs you" : "Be told on this device"}
        disabled={busy}
        onClick={() => attempt(() => (on ? turnOff(subject, token) : turnOn(subject, token)))}
      >
        <Icon>
          <path d="M3.5 12h9M4.5 12V7.5a3.5 3.5 0 017 0V12M7 14.2h2" />
        </Icon>
      </button>
      {failure && (
        <p class="state" role="status">
          {failure}
        </p>
      )}
    </>
  );
}

/** Asked once, when a run takes long; never again, whatever the answer is. */
export function Question({ subject, token, session }: Props & { session: Session }) {
  const [busy, attempt, failure] = useAttempt();
  const open = useChoice(subject) === null && Notification.permission !== "denied";
  const long = useLongRun(session, open);
  const [asking, setAsking] = useState(false);
  useEffect(() => {
    // It stays until they are through with it: what came of their answer is said in its place.
    if (long) setAsking(true);
  }, [long]);
  const done = () => setAsking(false);
  if (!asking) return null;
  return (
    <section class="trouble question" aria-label="Notifications">
      {failure ? (
        <>
          <p role="status">{failure}</p>
          <button onClick={done}>Dismiss</button>
        </>
      ) : (
        <>
          <p>This takes a while. Be told on this device when it is done, or needs you?</p>
          <button
            class="primary"
            disabled={busy}
            onClick={() =>
              attempt(async () => {
                await turnOn(subject, token);
                done();
              })
            }
          >
            Tell me
          </button>
          <button
            disabled={busy}
            onClick={() => {
              choose(subject, "no");
              done();
            }}
          >
            Not now
          </button>
        </>
      )}
    </section>
  );
}

/** One thing at a time, and what went wrong with it in words. */
function useAttempt(): [boolean, (work: () => Promise<void>) => void, string] {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState("");
  const attempt = (work: () => Promise<void>) => {
    setBusy(true);
    setFailure("");
    work()
      .catch((error: unknown) => {
        if (!(error instanceof NotTold)) console.warn("notifications:", error);
        setFailure(error instanceof Error ? error.message : String(error));
      })
      .finally(() => setBusy(false));
  };
  return [busy, attempt, failure];
}
