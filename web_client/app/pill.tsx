/** The pill: how the connection is, in four words. */

import { useEffect, useState } from "preact/hooks";
import type { Absence } from "./caught_up.js";
import { connection } from "./connection.js";
import { useHere } from "./here.js";

/** How long it says that it caught up, milliseconds. */
const TOLD_MS = 8000;

export function Pill({ absence, cut }: { absence: Absence | null; cut: boolean }) {
  const { client, session } = useHere();
  const [fresh, setFresh] = useState(false);
  useEffect(() => {
    setFresh(absence !== null);
    const timer = setTimeout(() => setFresh(false), TOLD_MS);
    return () => clearTimeout(timer);
  }, [absence]);
  const { status, unsynced } = session;
  const { tone, word, detail } = connection(status, {
    unsynced,
    caughtUp: fresh ? (absence?.count ?? null) : null,
    cut,
  });
  const retry = !cut && status.link === "offline";
  return (
    <span class="connection">
      <span class={`pill ${tone}`} role="status" data-link={cut ? "cut" : status.link}>
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
