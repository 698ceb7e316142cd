/** The list of sessions: what is new in each, and which of them waits for an answer. */

import { useRead } from "../kit/hooks.js";
import { PlusIcon, SearchIcon } from "../kit/icons.js";
import { isAgent, listed, nameOf, plural, titled } from "../people/names.js";
import { followed, pathOf } from "../routes.js";
import type { Entry, Shelf } from "./shelf.js";

const UNREAD_MAX = 99;

interface Props {
  shelf: Shelf;
  current: string;
  create: () => void;
  search: () => void;
  /** A session was chosen: a drawer that holds the list can go. */
  chosen: () => void;
}

export function SessionList({ shelf, current, create, search, chosen }: Props) {
  useRead(shelf, ({ version }) => version);
  const entries = shelf.entries();
  return (
    <div class="sessions">
      <div class="tools">
        <button onClick={create}>
          <PlusIcon /> New session
        </button>
        <button aria-label="Search all sessions" title="Search (Ctrl+K)" onClick={search}>
          <SearchIcon />
        </button>
      </div>
      <h2>Sessions</h2>
      {entries.length === 0 && <p class="note">None yet.</p>}
      <ul>
        {entries.map((entry) => (
          <Item key={entry.id} entry={entry} current={entry.id === current} chosen={chosen} />
        ))}
      </ul>
      {shelf.list?.whole === false && entries.length > 0 && (
        <button class="plain" onClick={() => void shelf.list?.older()}>
          Older sessions
        </button>
      )}
    </div>
  );
}

function Item({ entry, current, chosen }: { entry: Entry; current: boolean; chosen: () => void }) {
  const { id, row, unsynced } = entry;
  const { title = "", unread = 0, needs = [], running = {}, here = {} } = row ?? {};
  const atWork = Object.keys(running).filter((agent) => running[agent] === "live");
  const people = Object.keys(here).filter((subject) => !isAgent(subject) && here[subject] !== "away");
  const path = pathOf(id);
  return (
    <li>
      <a
        href={path}
        aria-current={current ? "page" : undefined}
        onClick={(event) => {
          if (!followed(event, path)) return;
          // Who came by the mouse wants to write next; who came by the keyboard, to go on from here.
          if (event.detail > 0) event.currentTarget.blur();
          chosen();
        }}
      >
        <span class="title">{titled(title) || id}</span>
        {atWork.length > 0 && <span class="pulse" title={`${listed(atWork.map(nameOf))} at work`} />}
        {people.length > 0 && !current && <small title={listed(people.map(nameOf))}>{people.length} here</small>}
        {needs.length > 0 ? (
          <small class="needs">needs you</small>
        ) : (
          unread > 0 && !current && <small>{unread > UNREAD_MAX ? `${UNREAD_MAX}+` : unread} new</small>
        )}
        {unsynced > 0 && (
          <small class="unsynced" title={`${plural(unsynced, "edit")} saved here, not sent yet`}>
            {unsynced}
            <span class="sr"> not sent yet</span>
          </small>
        )}
      </a>
    </li>
  );
}
