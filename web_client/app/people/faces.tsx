/** Faces: who is here, in the header. Round is a person, square an agent, faded is away; one for each device. */

import type { RunView } from "../../src/runs.js";
import { Avatar } from "./avatar.js";
import { useHere } from "../session/here.js";
import { peopleOf, type Person } from "./people.js";

const SHOWN = 6;

export function Faces() {
  const { session, me } = useHere();
  const mine = { peer: "", subject: me, name: "", kind: "", device: "", state: session.presence.mine };
  const people = peopleOf([mine, ...session.presence.everyone()], me);
  const runs = session.runs();
  const rest = people.length - SHOWN;
  return (
    <ul class="faces" aria-label="Who is here">
      {people.slice(0, SHOWN).map((person) => {
        const label = described(person, runs);
        return (
          <li key={person.key} title={label}>
            <Avatar subject={person.subject} name={person.name} away={person.away} />
            <span class="sr">{label}</span>
          </li>
        );
      })}
      {rest > 0 && (
        <li
          class="rest"
          title={people
            .slice(SHOWN)
            .map((person) => person.name)
            .join(", ")}
        >
          +{rest}
        </li>
      )}
    </ul>
  );
}

function described({ name, where, away, agent, me, subject, typing }: Person, runs: readonly RunView[]): string {
  const words = [me ? `${name}, you` : name];
  if (agent) {
    const at = runs.findLast((run) => run.agent === subject && !run.ended);
    if (at) words.push(at.status === "suspended" ? "waiting" : at.status);
  } else if (where) words.push(`on a ${where}`);
  if (typing) words.push("typing");
  if (away) words.push("away");
  return words.join(", ");
}
