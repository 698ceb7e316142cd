/** Search over all sessions: of what is on this device at once, and of what the server has when it answers. */

import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { phrases, snippet, type SearchStatus } from "../../src/search/index.js";
import { request, type Hit } from "../kit/api.js";
import { Dialog } from "../kit/dialog.js";
import { nameOf, shown, titled } from "../people/names.js";
import { go, pathOf } from "../routes.js";
import type { Shelf } from "./shelf.js";
import { clock } from "../kit/times.js";

/** How long typing pauses before the search goes out, milliseconds. */
const PAUSE_MS = 120;
const LIMIT = 30;

interface Found {
  readonly session: string;
  readonly message: string;
  readonly text: string;
  readonly by: string;
  /** Unix ms; 0 where it is not known. */
  readonly at: number;
}

export function Search({ shelf, token, close }: { shelf: Shelf; token: () => Promise<string>; close: () => void }) {
  const [query, setQuery] = useState("");
  const [active, setActive] = useState(0);
  const { found, note } = useFound(shelf, token, query.trim());
  const choose = (hit: Found | undefined) => {
    if (!hit) return;
    close();
    go(pathOf(hit.session, hit.message));
  };
  const at = Math.min(active, found.length - 1);
  return (
    <Dialog title="Search all sessions" close={close} kind="palette">
      <input
        role="combobox"
        aria-label="Words to find"
        aria-expanded={found.length > 0}
        aria-controls="found"
        aria-activedescendant={found.length > 0 ? `found-${at}` : undefined}
        placeholder="Words, the last may be a beginning"
        value={query}
        autofocus
        onInput={(event) => {
          setQuery(event.currentTarget.value);
          setActive(0);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") choose(found[at]);
          const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
          if (step === 0 || found.length === 0) return;
          event.preventDefault();
          setActive((at + step + found.length) % found.length);
        }}
      />
      <ul class="found" id="found" role="listbox" aria-label="Found">
        {found.map((hit, index) => (
          <li
            key={`${hit.session} ${hit.message}`}
            id={`found-${index}`}
            role="option"
            aria-selected={index === at}
            ref={index === at ? inSight : null}
            onClick={() => choose(hit)}
          >
            <span class="line">
              <b>{titled(shelf.entries().find(({ id }) => id === hit.session)?.row?.title ?? "") || hit.session}</b>
              <small>
                {hit.by ? nameOf(hit.by) : "on the server"}
                {hit.at > 0 && `, ${clock(hit.at)}`}
              </small>
            </span>
            <span>{excerpt(hit.text, query)}</span>
          </li>
        ))}
      </ul>
      <p class="state" role="status">
        {note}
      </p>
    </Dialog>
  );
}

function useFound(
  shelf: Shelf,
  token: () => Promise<string>,
  query: string,
): { found: readonly Found[]; note: string } {
  const [state, setState] = useState<{ found: readonly Found[]; note: string }>({ found: [], note: "" });
  const ways = useWays(shelf);
  useEffect(() => {
    if (!query) {
      setState({ found: [], note: "" });
      return undefined;
    }
    let over = false;
    const timer = setTimeout(async () => {
      setState(({ found, note }) => ({ found, note: note || "Searching this device…" }));
      const { found: here, note } = await local(shelf, query);
      if (over) return;
      setState({ found: here, note: `${count(here.length)} ${note}; asking the server…` });
      const there = await remote(token, query);
      if (over) return;
      const known = new Set(here.map((hit) => hit.message));
      const all = [...here, ...(there ?? []).filter((hit) => !known.has(hit.message))];
      const other = there ? " and the server" : "; the server does not answer";
      setState({ found: all, note: `${count(all.length)} ${note}${other}` });
    }, PAUSE_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [shelf, query, ways]);
  return state;
}

/** Counts how often there came to be an index, or none, since this is shown: it is looked for again then. */
function useWays(shelf: Shelf): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    let end: (() => void) | null = null;
    let over = false;
    shelf.searching().then(
      (search) => {
        if (!over) end = search.listen(() => setCount((before) => before + 1));
      },
      () => {}, // Whoever searches is told.
    );
    return () => {
      over = true;
      end?.();
    };
  }, [shelf]);
  return count;
}

/** What this device has, and in words how that was looked for. */
async function local(shelf: Shelf, query: string): Promise<{ found: Found[]; note: string }> {
  try {
    const { hits, status } = await shelf.search(query, LIMIT);
    const found = hits.map(({ session, message, by, at, snippet }) => {
      return { session, message, text: snippet.text, by: by ?? "", at };
    });
    return { found, note: `on this device${withoutIndex(status)}` };
  } catch (error) {
    console.warn("this device could not be searched:", error);
    return { found: [], note: "(this device could not be searched: load the page again)" };
  }
}

/** Why there is no index; empty if there is one. */
const WHY: Readonly<Record<SearchStatus["code"], string>> = {
  "": "",
  "no-worker": "it has no worker",
  starting: "its index is not ready yet",
  closed: "its index is closed",
  moved: "its index is moving to another tab",
  rebuilt: "its index is made anew",
  busy: "another tab still has its index",
  gone: "the tab that has its index does not answer",
  quota: "there is no space for an index",
  "no-opfs": "no index: this browser gives no files, as in a private window",
  "no-wasm": "no index: this browser does not run SQLite",
  failed: "no index: it failed",
};

function withoutIndex({ mode, code }: SearchStatus): string {
  return mode === "index" ? "" : `, gone through one by one (${WHY[code]})`;
}

function inSight(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: "nearest" });
}

/** Null where the server does not answer. */
async function remote(token: () => Promise<string>, query: string): Promise<Found[] | null> {
  try {
    const answer = await request<{ hits: readonly Hit[] }>(`/v1/search?limit=${LIMIT}&q=${encodeURIComponent(query)}`, {
      token: await token(),
    });
    return answer.hits.map(({ session, message, excerpt }) => ({ session, message, text: excerpt, by: "", at: 0 }));
  } catch {
    return null;
  }
}

function count(found: number): string {
  return found === 0 ? "Nothing found" : found === 1 ? "1 message" : `${found} messages`;
}

/** The piece of a text that was found, in one line, with what was looked for marked. */
function excerpt(text: string, query: string) {
  const piece = snippet(shown(text.replace(/[*`]+/g, "")), phrases(query));
  const drawn: (string | VNode)[] = [];
  let from = 0;
  for (const [start, end] of piece.ranges) {
    drawn.push(piece.text.slice(from, start), <mark key={start}>{piece.text.slice(start, end)}</mark>);
    from = end;
  }
  return [...drawn, piece.text.slice(from)];
}
