/** Hand over: say who is responsible from now on, a person or an agent. */

import { useState } from "preact/hooks";
import type { Session } from "../src/session.js";
import { Dialog } from "./dialog.js";
import { useAsk, useHere } from "./here.js";
import { known } from "./mentions.js";
import { isAgent, nameOf } from "./names.js";

/** How far back those who wrote are looked for, messages. */
const BACK = 500;

export function HandOver({ close }: { close: () => void }) {
  const { session, me } = useHere();
  const ask = useAsk();
  const choices = choicesOf(session, me);
  const [to, setTo] = useState(choices.find((subject) => subject !== me) ?? me);
  const [other, setOther] = useState("");
  const [note, setNote] = useState("");
  const named = to === "" ? (other.includes(":") ? other.trim() : `agent:${other.trim()}`) : to;
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

/** Those who may take over: everybody known here, but for who is responsible already. */
function choicesOf(session: Session, me: string): string[] {
  const subjects = [me, ...session.presence.everyone().map((entry) => entry.subject)];
  for (const message of session.messages().slice(-BACK))
    subjects.push(...message.to, ...(message.by ? [message.by] : []));
  for (const run of session.runs()) subjects.push(run.agent);
  return [...known(subjects).values()].filter((subject) => subject !== session.responsible);
}
