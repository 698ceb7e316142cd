/** The document beside the chat: a shared text that people and agents write together, with everybody's cursors. */

import { useEffect, useRef, useState } from "preact/hooks";
import * as Y from "yjs";
import { Binding } from "./binding.js";
import { cursorOf, cursorsIn, type Cursor } from "./cursors.js";
import { useAsk, useHere, useMay } from "../session/here.js";
import { hueOf, listed, plural } from "../people/names.js";
import { useShown } from "../people/shown.js";
import { asShown, inText } from "./text_edit.js";

/** What is shown unless another text is chosen. */
const DOCUMENT = "document";
export function DocumentPane() {
  const { session } = useHere();
  const [chosen, setChosen] = useState(DOCUMENT);
  const names = textsOf(session.state.document);
  const name = names.includes(chosen) ? chosen : DOCUMENT;
  const text = session.state.text(name);
  const cursors = cursorsIn(name, text, session.presence.everyone());
  const writes = useMay("state");
  const rest = restOf(session.state.json(), names);
  return (
    <div class="document">
      <div class="line">
        {names.length > 1 ? (
          <select aria-label="Which text" value={name} onChange={(event) => setChosen(event.currentTarget.value)}>
            {names.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        ) : (
          <h2>Document</h2>
        )}
        <span class="state">
          {cursors.length > 0 && `${listed([...new Set(cursors.map((cursor) => cursor.name))])} here`}
        </span>
        <UndoButtons />
      </div>
      <Editor key={name} name={name} text={text} cursors={cursors} writes={writes} />
      <p class="state">
        {writes ? "Everybody edits it at once, also without a network." : "This share allows reading only."}{" "}
        {plural(text.length, "character")}
      </p>
      {rest !== null && (
        <details class="more">
          <summary>Other shared state</summary>
          <pre tabIndex={0}>{JSON.stringify(rest, null, 2)}</pre>
        </details>
      )}
    </div>
  );
}

function UndoButtons() {
  const { session } = useHere();
  const ask = useAsk();
  const { undo, redo } = session.state.can;
  return (
    <span class="undo">
      <button class="plain" disabled={!undo} onClick={() => ask(() => session.state.undo())}>
        Undo
      </button>
      <button class="plain" disabled={!redo} onClick={() => ask(() => session.state.redo())}>
        Redo
      </button>
    </span>
  );
}

interface EditorProps {
  name: string;
  text: Y.Text;
  cursors: readonly Cursor[];
  writes: boolean;
}

function Editor({ name, text, cursors, writes }: EditorProps) {
  const { session } = useHere();
  const field = useRef<HTMLTextAreaElement>(null);
  const mirror = useRef<HTMLDivElement>(null);
  const say = useShown(session, "cursor", name);
  useEffect(() => {
    const binding = new Binding(field.current!, text);
    return () => binding.close();
  }, [text]);
  const scrolled = () => {
    if (mirror.current && field.current) mirror.current.scrollTop = field.current.scrollTop;
  };
  useEffect(scrolled);
  // There is no one event for a caret that moves, in all browsers.
  const place = () =>
    say(() => cursorOf(name, text, Math.min(inText(text.toString(), field.current?.selectionEnd ?? 0), text.length)));
  return (
    <div class="paper">
      <div class="mirror" ref={mirror} aria-hidden="true">
        {pieces(text.toString(), cursors)}
      </div>
      <textarea
        ref={field}
        aria-label={`Shared text: ${name}`}
        placeholder="A text that everybody here writes together."
        readOnly={!writes}
        spellcheck={false}
        onScroll={scrolled}
        onInput={place}
        onSelect={place}
        onKeyUp={place}
        onClick={place}
        onFocus={place}
        onBlur={() => say(null)}
        onKeyDown={(event) => {
          // The field's own undo knows nothing of what others wrote meanwhile.
          const key = event.key.toLowerCase();
          if (!(event.ctrlKey || event.metaKey) || (key !== "z" && key !== "y")) return;
          event.preventDefault();
          if (key === "y" || event.shiftKey) session.state.redo();
          else session.state.undo();
        }}
      />
    </div>
  );
}

/** The text once more, unseen, with the cursors at their places. */
function pieces(text: string, cursors: readonly Cursor[]) {
  let from = 0;
  const shown = cursors.map((cursor) => {
    const before = asShown(text.slice(from, cursor.at));
    from = cursor.at;
    return (
      <>
        {before}
        <span key={cursor.key} class="caret" data-hue={hueOf(cursor.subject)} data-name={cursor.name} />
      </>
    );
  });
  // A line break at the end takes room only if something stands behind it.
  return [...shown, `${asShown(text.slice(from))}\u200b`];
}

function textsOf(document: Y.Doc): string[] {
  const names = [...document.share]
    .filter(([, root]) => root instanceof Y.Text && !(root instanceof Y.XmlText))
    .map(([name]) => name);
  return [DOCUMENT, ...names.filter((name) => name !== DOCUMENT).sort()];
}

function restOf(state: { readonly [name: string]: unknown }, texts: readonly string[]): object | null {
  const rest = Object.entries(state).filter(([name]) => !texts.includes(name));
  return rest.length > 0 ? Object.fromEntries(rest) : null;
}
