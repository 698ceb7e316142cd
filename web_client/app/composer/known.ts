/** Known: who is known in a session, as its names are typed. */

import type { Session } from "../../src/session.js";
import { known, type Known } from "./mentions.js";
import { ownName } from "../people/names.js";

/** How far back those who wrote are looked for, messages. */
const BACK = 500;

/** Everybody who was seen, wrote, worked or was addressed, and who is responsible. */
export function knownHere(session: Session, ...others: string[]): Known {
  const present = session.presence.everyone();
  const called = new Map(present.map(({ subject, name }) => [subject, name]));
  const subjects = [...others, ...called.keys()];
  for (const message of session.messages().slice(-BACK))
    subjects.push(...message.to, ...(message.by ? [message.by] : []));
  for (const run of session.runs()) subjects.push(run.agent);
  if (session.responsible) subjects.push(session.responsible);
  return known(subjects, (subject) => ownName(subject) || called.get(subject) || "");
}
