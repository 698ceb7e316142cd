/** Unsent: own edits of this device that are not on the server, and what a person wrote in them. */

import type { Client } from "../../src/client.js";
import type { Session } from "../../src/session.js";

/** How many there are, in all sessions that this device has a copy of. */
export async function countUnsent(client: Client): Promise<number> {
  const counts = new Map((await client.copies()).map(({ session, unsynced }) => [session, unsynced]));
  // Those that are open know of more: of what is being stored.
  for (const session of client.inUse) counts.set(session.id, session.unsynced);
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

/** The texts of the messages in a session that are not on the server. */
export function textsUnsent(session: Session): string[] {
  return session
    .messages()
    .filter((message) => message.role === "user" && message.receipt === null && message.text)
    .map(({ text }) => text);
}
