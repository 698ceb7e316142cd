/** Listening: tells a screen reader what others do in the session that is open. Nothing of it is seen. */

import { useEffect, useState } from "preact/hooks";
import { Heard } from "./heard.js";
import { useHere } from "./here.js";

/** What comes within this time is told as one, milliseconds. */
const TOGETHER_MS = 500;

/** Shown while the link is live: what came while this device was away the pill says, as a number. */
export function Listening() {
  const { session, me } = useHere();
  const [told, setTold] = useState({ words: "", count: 0 });
  useEffect(() => {
    const heard = new Heard(session.messages(), session.runs(), me);
    const waiting = new Set<string>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tell = () => {
      timer = undefined;
      const words = [...waiting].join("; ");
      waiting.clear();
      if (words) setTold(({ count }) => ({ words, count: count + 1 }));
    };
    const changes = session.changes();
    void (async () => {
      for await (const change of changes) {
        const words = heard.words(change);
        if (words) waiting.add(words);
        if (change.kind === "caught-up") waiting.clear();
        if (waiting.size > 0) timer ??= setTimeout(tell, TOGETHER_MS);
      }
    })();
    return () => {
      clearTimeout(timer);
      changes.close();
    };
  }, [session]);
  return (
    <p class="sr" aria-live="polite">
      {/* Another one each time, so that the same words twice are told twice. */}
      <span key={told.count}>{told.words}</span>
    </p>
  );
}
