/** The pill: how the connection is, in four words. */

import { useEffect, useState } from "preact/hooks";
import type { Absence } from "./caught_up.js";
import { connection } from "./connection.js";
import { useHere } from "./here.js";

/** How long it says that it caught up, milliseconds. */
const TOLD_MS = 8000;
/** How long edits are on their way until it is said: each time it changes, a screen reader reads it. */
const SLOW_MS = 1500;

export function Pill({ absence, cut }: { absence: Absence | null; cut: boolean }) {
  const { client, session } = useHere();
  const { status, unsynced } = session;
  const told = useLater(absence, TOLD_MS);
  const slow = useLater(unsynced > 0, SLOW_MS);
  const sends = unsynced > 0 && status.link === "live";
  const { tone, word, detail } = connection(status, {
    unsynced: sends && !slow ? 0 : unsynced,
    caughtUp: told ? null : (absence?.count ?? null),
    cut,
  });
  const retry = !cut && status.link === "offline";
  return (
    <span class="connection">
      <span class={`pill ${tone}`} role="status" data-link={cut ? "cut" : sends ? "sending" : status.link}>
        {word}
        {detail && <span class="detail">{word === "Caught up" ? ` ${detail}` : `, ${detail}`}</span>}
      </span>
      {retry && (
        <button class="plain retry" onClick={() => client.retry()}>
          Try now
        </button>
      )}
    </span>
  );
}

/** Whether `since` has been as it is for so long; never while it is nothing. */
function useLater(since: unknown, ms: number): boolean {
  const [later, setLater] = useState(false);
  useEffect(() => {
    if (!since) return undefined;
    const timer = setTimeout(() => setLater(true), ms);
    return () => {
      clearTimeout(timer);
      setLater(false);
    };
  }, [since]);
  return later;
}
