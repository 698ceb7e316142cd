/** Opening a session: from this device's copy, so it takes no network; or why it could not be opened. */

import { useEffect, useState } from "preact/hooks";
import type { Session } from "../../src/session.js";
import { Markdown } from "../transcript/parts.js";
import { Screen, type ScreenProps } from "./screen.js";

interface Props extends Omit<ScreenProps, "session"> {
  id: string;
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
