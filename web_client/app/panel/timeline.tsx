/** The timeline: everything that happened, newest first, by kind; each entry opens to what it was made of. */

import { useState } from "preact/hooks";
import { Download } from "../session/download.js";
import { KINDS, eventsOf, type EventKind, type TimelineEvent } from "./events.js";
import { useHere } from "../session/here.js";
import type { Shelf } from "../list/shelf.js";
import { clockSeconds } from "../kit/times.js";

const PAGE = 100;

export function TimelinePane({ link, shelf }: { link: readonly TimelineEvent[]; shelf: Shelf }) {
  const { session } = useHere();
  const [hidden, setHidden] = useState<ReadonlySet<EventKind>>(new Set());
  const [limit, setLimit] = useState(PAGE);
  const story = { messages: session.messages(), runs: session.runs(), commands: session.commands(), link };
  const events = eventsOf(story, limit, hidden);
  const toggle = (kind: EventKind) => {
    const next = new Set(hidden);
    if (!next.delete(kind)) next.add(kind);
    setHidden(next);
  };
  return (
    <div class="timeline">
      <div class="line wrap">
        <h2>Timeline</h2>
        <Download shelf={shelf} />
      </div>
      <div class="filters" role="group" aria-label="Show">
        {KINDS.map((kind) => (
          <button key={kind} aria-pressed={!hidden.has(kind)} onClick={() => toggle(kind)}>
            {kind}
          </button>
        ))}
      </div>
      {events.length === 0 && <p class="note">Nothing yet.</p>}
      <ol>
        {events.toReversed().map((event) => (
          <li key={event.key} data-kind={event.kind}>
            <Entry event={event} />
          </li>
        ))}
      </ol>
      {events.length >= limit && <button onClick={() => setLimit(limit + PAGE)}>Show more</button>}
    </div>
  );
}

function Entry({ event }: { event: TimelineEvent }) {
  const [open, setOpen] = useState(false);
  return (
    <details open={open} onToggle={(toggled) => setOpen(toggled.currentTarget.open)}>
      <summary>
        <b>{clockSeconds(event.at)}</b> {event.who} {event.text}
      </summary>
      {open && <pre tabIndex={0}>{JSON.stringify(event.raw, null, 2)}</pre>}
    </details>
  );
}
