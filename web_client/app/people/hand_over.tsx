/** Hand over: say who is responsible from now on, a person or an agent. */

import { useState } from "preact/hooks";
import { Dialog } from "../kit/dialog.js";
import { useAsk, useHere } from "../session/here.js";
import { knownHere } from "../composer/known.js";
import { isSubject, subjectOf } from "../composer/mentions.js";
import { isAgent, nameOf } from "./names.js";

const WANTED = "Write one name, such as planner for an agent, or a person as user:ana, without spaces.";

export function HandOver({ close }: { close: () => void }) {
  const { session, me } = useHere();
  const ask = useAsk();
  const here = knownHere(session, me);
  // Everybody known here, but for who is responsible already.
  const choices = [...new Set(here.values())].filter((subject) => subject && subject !== session.responsible);
  const [to, setTo] = useState(choices.find((subject) => subject !== me) ?? me);
  const [other, setOther] = useState("");
  const [note, setNote] = useState("");
  const name = other.trim();
  const named = to || (subjectOf(name, here) ?? `agent:${name}`);
  return (
    <Dialog title="Hand over" close={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          ask(() => session.assign(named, note.trim() ? { note: note.trim() } : {}).then(close));
        }}
      >
        <p class="state">
          {session.responsible
            ? `Responsible now: ${session.responsible === me ? "you" : nameOf(session.responsible)}.`
            : "Nobody is responsible yet."}{" "}
          An agent that is answers whatever names nobody.
        </p>
        <To choices={choices} me={me} to={to} choose={setTo} />
        {to === "" && (
          <label>
            Name
            <input
              value={other}
              required
              placeholder="planner, or user:ana"
              ref={(field) => field?.setCustomValidity(!name || isSubject(named) ? "" : WANTED)}
              onInput={(event) => setOther(event.currentTarget.value)}
            />
          </label>
        )}
        <label>
          Note
          <textarea
            rows={3}
            value={note}
            placeholder="What they should know"
            onInput={(event) => setNote(event.currentTarget.value)}
          />
        </label>
        <div class="line">
          <button class="primary">Hand over</button>
          <button type="button" onClick={close}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function To({
  choices,
  me,
  to,
  choose,
}: {
  choices: readonly string[];
  me: string;
  to: string;
  choose: (to: string) => void;
}) {
  return (
    <label>
      To
      <select value={to} onChange={(event) => choose(event.currentTarget.value)}>
        {choices.map((subject) => (
          <option key={subject} value={subject}>
            {subject === me ? `${nameOf(me)} (you)` : `${nameOf(subject)}${isAgent(subject) ? ", an agent" : ""}`}
          </option>
        ))}
        <option value="">Somebody else…</option>
      </select>
    </label>
  );
}
