/** The link's story: when this tab lost its connection and got it back, who came and who left. Kept while it is open. */

import { useEffect, useRef } from "preact/hooks";
import type { Session } from "../../src/session.js";
import type { TimelineEvent } from "./events.js";
import { nameOf, plural } from "../people/names.js";
import { isGone } from "../people/people.js";

const KEPT = 200;

export function useLinkStory(session: Session): readonly TimelineEvent[] {
  const story = useRef<TimelineEvent[]>([]);
  useEffect(() => {
    story.current = [];
    const here = new Set<string>();
    let link = "";
    let count = 0;
    const add = (who: string, text: string, raw: unknown) => {
      story.current = [
        ...story.current,
        { key: `l ${count++}`, kind: "link" as const, at: Date.now(), who, text, raw },
      ].slice(-KEPT);
    };
    const changes = session.changes();
    void (async () => {
      for await (const change of changes) {
        if (change.kind === "status" && change.status.link !== link)
          add("this device", (link = change.status.link), change.status);
        if (change.kind === "caught-up" && change.live && change.count > 0) {
          add("this device", `caught up, ${plural(change.count, "event")}`, change);
        }
        if (change.kind === "refused") add("this device", `an edit was refused: ${change.reason}`, change);
        if (change.kind !== "presence") continue;
        const { peer, subject, state } = change.entry;
        if (isGone(state) && here.delete(peer)) add(nameOf(subject), "left", change.entry);
        else if (!isGone(state) && !here.has(peer)) {
          here.add(peer);
          add(nameOf(subject), "came", change.entry);
        }
      }
    })();
    return () => changes.close();
  }, [session]);
  return story.current;
}
