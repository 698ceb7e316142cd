/** Offers: those who can be named, as a list above the message field while an `@` is typed. Loaded soon after it. */

import { useLayoutEffect, useState } from "preact/hooks";
import { bare, folded, rank, type Known } from "./mentions.js";
import { isGuest } from "../people/names.js";

const UNDER_CARET = /(?<![\p{L}\p{N}_@])@([\p{L}\p{N}_.:-]*)$/u;

/** Takes a key that is for the list, and says whether it was; null while no list is there. */
export type Keys = ((event: KeyboardEvent) => boolean) | null;

interface Props {
  field: { readonly current: HTMLTextAreaElement | null };
  text: string;
  caret: number;
  here: Known;
  keys: { current: Keys };
  changed: (text: string) => void;
  shut: (shut: boolean) => void;
}

export function Offers({ field, text, caret, here, keys, changed, shut }: Props) {
  const place = begun(text, caret);
  const offers = place ? offered(here, place.name) : [];
  const [active, setActive] = useState({ text, at: 0 });
  // Another text begins with the first one again.
  const at = active.text === text ? Math.min(active.at, offers.length - 1) : 0;
  const open = offers.length > 0;

  const choose = (name: string) => {
    const full = complete(text, caret, name);
    const element = field.current!;
    // At once: what is typed next comes behind it.
    element.value = full.text;
    element.setSelectionRange(full.caret, full.caret);
    element.focus();
    changed(full.text);
    shut(true);
  };
  useLayoutEffect(() => {
    keys.current = (event) => {
      const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
      if (!open) return false;
      if (step !== 0) setActive({ text, at: (at + step + offers.length) % offers.length });
      else if (event.key === "Enter" || event.key === "Tab") choose(offers[at]!.name);
      else if (event.key === "Escape") shut(true);
      else return false;
      event.preventDefault();
      return true;
    };
    if (open) {
      field.current?.setAttribute("aria-controls", "offers");
      field.current?.setAttribute("aria-activedescendant", `offer-${at}`);
    }
    return () => {
      keys.current = null;
      for (const name of ["aria-controls", "aria-activedescendant"]) field.current?.removeAttribute(name);
    };
  });
  if (!open) return null;
  return (
    <ul class="offers" id="offers" role="listbox" aria-label="Whom to name">
      {offers.map(({ name, subject }, index) => (
        <li
          key={subject}
          id={`offer-${index}`}
          role="option"
          aria-selected={index === at}
          onMouseDown={(event) => {
            event.preventDefault();
            choose(name);
          }}
        >
          <b>{name}</b> <small>{isGuest(subject) ? "guest" : subject.slice(0, subject.indexOf(":"))}</small>
        </li>
      ))}
    </ul>
  );
}

/** What is being typed behind an `@` right before the caret, and where that `@` stands; null if there is none. */
export function begun(text: string, caret: number): { at: number; name: string } | null {
  const match = UNDER_CARET.exec(text.slice(0, caret));
  return match ? { at: match.index, name: match[1]! } : null;
}

/** Those whose name goes on from `beginning`, agents first; at most eight. */
export function offered(here: Known, beginning: string): { name: string; subject: string }[] {
  const wanted = folded(beginning);
  const all = [...here].map(([name, subject]) => ({ name, subject }));
  const fitting = all.filter(
    ({ name, subject }) =>
      // A guest's hash is nothing that anybody types.
      subject &&
      !(isGuest(subject) && name === bare(subject)) &&
      (folded(name).startsWith(wanted) || subject.startsWith(wanted)),
  );
  fitting.sort((a, b) => rank(a.subject) - rank(b.subject) || a.name.localeCompare(b.name));
  return fitting.filter(({ subject }, at) => fitting.findIndex((one) => one.subject === subject) === at).slice(0, 8);
}

/** `text` with the mention that is being typed put in full, and where the caret is then. */
export function complete(text: string, caret: number, name: string): { text: string; caret: number } {
  const place = begun(text, caret);
  if (!place) return { text, caret };
  const rest = text.slice(caret);
  const head = `${text.slice(0, place.at)}@${name}${/^\s/.test(rest) ? "" : " "}`;
  return { text: head + rest, caret: /^\s/.test(rest) ? head.length + 1 : head.length };
}
