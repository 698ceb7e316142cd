/** Summaries: what a list shows of the copies on this device, each read once, and again when it is another. */

import type { Known } from "./core/client.js";
import type { Json } from "./core/messages.js";
import type { Replica } from "./core/replica.js";
import type { Session as CoreSession } from "./core/session.js";
import { Session } from "./session.js";
import { summarize } from "./summary.js";
import type { Summary } from "./summary.js";

/** A summary, and who it is for: their subject, and whether they may decide. */
interface Remembered {
  readonly isFor: string;
  readonly summary: Summary;
}

/** Of all copies, the last written in first. `remember` reads one, and keeps what was found until it is another. */
export async function summaries(
  known: readonly Known[],
  inUse: Iterable<CoreSession>,
  subject: string,
  remember: (session: string, look: (copy: Replica) => Json) => Promise<Json>,
): Promise<Summary[]> {
  const open = new Map(Array.from(inUse, (session) => [session.id, session]));
  const found: Summary[] = [];
  for (const { session, unsynced, rights, remembered } of known) {
    const onlooker = { session, subject, unsynced, mayDecide: rights?.includes("command") ?? true };
    const isFor = `${subject} ${onlooker.mayDecide}`;
    const here = open.get(session);
    const before = remembered as unknown as Remembered | undefined;
    if (here instanceof Session) found.push(here.summary());
    else if (before?.isFor === isFor) found.push({ ...before.summary, unsynced });
    else {
      const value = await remember(session, (copy) => {
        const summary = summarize(onlooker, copy.document("transcript"), copy.document("state"));
        return { isFor, summary } satisfies Remembered as unknown as Json;
      });
      found.push((value as unknown as Remembered).summary);
    }
  }
  return found.sort((one, two) => two.lastAt - one.lastAt);
}
