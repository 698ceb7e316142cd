/** Search over all sessions: of what is on this device at once, and of what the server has when it answers. */

import { useEffect, useState } from "preact/hooks";
import { request, type Hit } from "./api.js";
import { Dialog } from "./dialog.js";
import { focused } from "./frame.js";
import { nameOf, shown, titled } from "./names.js";
import { go, pathOf } from "./routes.js";
import type { Shelf } from "./shelf.js";
import { clock } from "./times.js";

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
        ref={focused}
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
              <b>{titled(shelf.entry(hit.session)?.summary?.title ?? "") || hit.session}</b>
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
  useEffect(() => {
    if (!query) {
      setState({ found: [], note: "" });
      return undefined;
    }
    let over = false;
    const timer = setTimeout(async () => {
      const here = await local(shelf, query);
      if (!over) setState({ found: here, note: count(here.length, "on this device") });
      const there = await remote(token, query);
      if (over) return;
      const known = new Set(here.map((hit) => hit.message));
      const all = [...here, ...(there ?? []).filter((hit) => !known.has(hit.message))];
      setState({
        found: all,
        note: there ? count(all.length, "") : count(all.length, "on this device; the server does not answer"),
      });
    }, PAUSE_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [shelf, query]);
  return state;
}

async function local(shelf: Shelf, query: string): Promise<Found[]> {
  const hits = await shelf.search(query, LIMIT);
  return hits.map(({ session, message }) => ({
    session,
    message: message.id,
    text: message.text,
    by: message.by ?? "",
    at: message.receipt?.at ?? message.createdAt,
  }));
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

function count(found: number, where: string): string {
  const words = found === 0 ? "Nothing found" : found === 1 ? "1 message" : `${found} messages`;
  return where ? `${words} ${where}` : words;
}

const AROUND = 60;

/** The place in a text where the first of the words stands. */
function excerpt(text: string, query: string) {
  const line = shown(text.replace(/[*`]+/g, ""));
  const word = query.split(/\s+/)[0] ?? "";
  const at = line.toLowerCase().indexOf(word.toLowerCase());
  if (at < 0) return line.slice(0, 2 * AROUND);
  const from = Math.max(0, at - AROUND);
  return (
    <>
      {from > 0 && "…"}
      {line.slice(from, at)}
      <mark>{line.slice(at, at + word.length)}</mark>
      {line.slice(at + word.length, at + word.length + AROUND)}
    </>
  );
}
