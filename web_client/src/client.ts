/** Client: the core's client, whose sessions are conversations. Knows nothing of stores, tabs or links. */

import { Client as CoreClient } from "./core/client.js";
import { Session } from "./session.js";
import { summarize } from "./summary.js";
import type { Summary } from "./summary.js";

/** One tab's client: as the core's, and it says what a list of sessions shows. */
export class Client extends CoreClient {
  /**
   * Open a session from this device's store; it goes live by itself. Several may be open of one, each with its own
   * `close`. Throws as `replica`.
   */
  override open(session: string): Promise<Session> {
    return this.opened(session, Session);
  }

  /** What a list shows of the sessions that this device has a copy of, the last written in first. */
  override async sessions(): Promise<Summary[]> {
    const found: Summary[] = [];
    for (const { session, unsynced } of await super.sessions()) {
      const summary = await this.peek(session, (copy) => {
        const onlooker = { session, subject: this.subject, unsynced, mayDecide: copy.rights?.has("command") ?? true };
        return summarize(onlooker, copy.document("transcript"), copy.document("state"));
      });
      found.push(summary);
    }
    return found.sort((one, two) => two.lastAt - one.lastAt);
  }
}
