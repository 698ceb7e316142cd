/** The bell, by which somebody is told on this device or not, and the one question that is asked about it. */

import { useState } from "preact/hooks";
import { BellIcon } from "../icons.js";
import { choose, useChoice } from "./choice.js";
import { NotTold, turnOff, turnOn } from "./device.js";

interface Props {
  subject: string;
  token: () => Promise<string>;
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
        <BellIcon />
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
export function Question({ subject, token, done }: Props & { done: () => void }) {
  const [busy, attempt, failure] = useAttempt();
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
