/** Who is typing now, by what presence says. */

import { useHere } from "../session/here.js";
import { listed } from "../people/names.js";
import { peopleOf } from "../people/people.js";

export function Typing() {
  const { session, me } = useHere();
  const names = peopleOf(session.presence.everyone(), me)
    .filter((person) => person.typing && !person.me)
    .map((person) => person.name);
  return <p class="note typing">{names.length > 0 && `${listed(names)} ${names.length > 1 ? "are" : "is"} typing…`}</p>;
}
