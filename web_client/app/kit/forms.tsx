/** Forms: small ones that stand in place of what they change, for as long as they are needed. Loaded on first use. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { MessageView } from "../../src/transcript.js";
import { focused } from "./frame.js";
import { useHere, useOnce } from "../session/here.js";
import { knownHere } from "../composer/known.js";
import { addressed, type Known } from "../composer/mentions.js";
import { listed, nameOf, shown } from "../people/names.js";

/** Another title for the session. What was typed counts also when one goes on elsewhere; Esc leaves the old one. */
export function RenameSession({ title, close }: { title: string; close: () => void }) {
  const { session } = useHere();
  const [text, setText] = useState(title);
  const { busy, once } = useOnce();
  const form = useFocusBack((header) => header.querySelector("button.rename"));
  const over = useRef(false);
  const end = () => {
    over.current = true;
    close();
  };
  const save = () => {
    const next = text.trim();
    // A field that goes away loses the focus, too.
    if (over.current) return;
    if (next === title) return end();
    once(async () => {
      session.state.map("session").set("title", next);
      await session.saved();
      end();
    });
  };
  return (
    <form
      class="rename"
      ref={form}
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <input
        aria-label="Title"
        value={text}
        maxLength={80}
        readOnly={busy}
        ref={focused}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Escape" && end()}
        onBlur={save}
      />
    </form>
  );
}

/** Deny a tool call, and say why. */
export function DenyCall({ call, close }: { call: string; close: () => void }) {
  const { session } = useHere();
  const [reason, setReason] = useState("");
  const { once } = useOnce();
  // Once it is denied there is no button any more: it is the card's then.
  const form = useFocusBack((tool) => tool.querySelector("button.plain") ?? tool.closest("[tabindex]"));
  return (
    <form
      class="line"
      ref={form}
      onSubmit={(event) => {
        event.preventDefault();
        once(() => session.deny(call, reason));
      }}
    >
      <input
        aria-label="Why not"
        placeholder="Why not? It may help."
        value={reason}
        ref={focused}
        onInput={(event) => setReason(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Escape" && close()}
      />
      <button class="bad">Deny</button>
      <button type="button" onClick={close}>
        Back
      </button>
    </form>
  );
}

/** Another wording of a message, which asks again: those whom it names now in place of those whom it named. */
export function EditMessage({ message, close }: { message: MessageView; close: () => void }) {
  const { session, view } = useHere();
  const [text, setText] = useState(message.text);
  const { busy, once } = useOnce();
  const form = useFocusBack((body) => body.parentElement?.querySelector("[aria-label=Edit]"));
  const same = text.trim() === "" || text === message.text;
  const to = addressees(message, text, knownHere(session));
  const save = () => {
    if (!same) once(() => view.edit(message.id, text, { to }).then(close));
  };
  return (
    <form
      class="editor"
      ref={form}
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <textarea
        aria-label={`Edit: ${shown(message.text).slice(0, 40)}`}
        value={text}
        rows={Math.min(12, text.split("\n").length + 1)}
        readOnly={busy}
        ref={begin}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") close();
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            save();
          }
        }}
      />
      <div class="line">
        <button class="primary" disabled={same || busy}>
          Ask again
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
        <span class="state">
          {String(to) !== String(message.to) && `To ${listed(to.map(nameOf)) || "nobody"}. `}
          The first wording stays, beside this one.
        </span>
      </div>
    </form>
  );
}

/** Begin with the caret at the end. */
function begin(field: HTMLTextAreaElement | null): void {
  field?.focus();
  field?.setSelectionRange(field.value.length, field.value.length);
}

/** Whom another wording is for: who was asked stays so, but for those who are named no more. */
function addressees(message: MessageView, text: string, here: Known): readonly string[] {
  const before = addressed(message.text, here);
  const after = addressed(text, here);
  if (String(before) === String(after)) return message.to;
  return [...new Set([...message.to.filter((subject) => !before.includes(subject)), ...after])];
}

/**
 * A reference for a form that has the focus go back, when it is closed, to what `find` finds near it: the button that
 * opened it, which is drawn again by then. Not where the focus is elsewhere already.
 */
function useFocusBack(find: (around: Element) => Element | null | undefined) {
  const form = useRef<HTMLFormElement>(null);
  useLayoutEffect(() => {
    const around = form.current!.parentElement!;
    return () =>
      queueMicrotask(() => {
        if (document.activeElement !== document.body) return;
        const found = find(around);
        if (found?.isConnected) (found as HTMLElement).focus({ preventScroll: true });
        // On a phone a keyboard would cover half of what there is to read.
        else if (matchMedia("(pointer: fine)").matches)
          document.querySelector<HTMLElement>(".composer textarea")?.focus();
      });
  }, []);
  return form;
}
