/** Forms: small ones that stand in place of what they change, for as long as they are needed. Loaded on first use. */

import { useState } from "preact/hooks";
import type { MessageView } from "../src/transcript.js";
import { focused } from "./frame.js";
import { useAsk, useHere } from "./here.js";
import { shown } from "./names.js";

/** Another title for the session. */
export function RenameSession({ title, close }: { title: string; close: () => void }) {
  const { session } = useHere();
  const ask = useAsk();
  const [text, setText] = useState(title);
  return (
    <form
      class="rename"
      onSubmit={(event) => {
        event.preventDefault();
        ask(() => session.state.map("session").set("title", text.trim()));
        close();
      }}
    >
      <input
        aria-label="Title"
        value={text}
        maxLength={80}
        ref={focused}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Escape" && close()}
        onBlur={close}
      />
    </form>
  );
}

/** Deny a tool call, and say why. */
export function DenyCall({ call, back }: { call: string; back: () => void }) {
  const { session } = useHere();
  const ask = useAsk();
  const [reason, setReason] = useState("");
  return (
    <form
      class="line"
      onSubmit={(event) => {
        event.preventDefault();
        ask(() => session.deny(call, reason));
      }}
    >
      <input
        aria-label="Why not"
        placeholder="Why not? It may help."
        value={reason}
        ref={focused}
        onInput={(event) => setReason(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Escape" && back()}
      />
      <button class="bad">Deny</button>
      <button type="button" onClick={back}>
        Back
      </button>
    </form>
  );
}

/** Another wording of a message, which asks again. */
export function EditMessage({ message, close }: { message: MessageView; close: () => void }) {
  const { view } = useHere();
  const ask = useAsk();
  const [text, setText] = useState(message.text);
  const save = () => ask(() => view.edit(message.id, text).then(close));
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <textarea
        aria-label={`Edit: ${shown(message.text).slice(0, 40)}`}
        value={text}
        rows={Math.min(12, text.split("\n").length + 1)}
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
        <button class="primary" disabled={!text.trim() || text === message.text}>
          Ask again
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
        <span class="state">The first wording stays, beside this one.</span>
      </div>
    </form>
  );
}

/** Begin with the caret at the end. */
function begin(field: HTMLTextAreaElement | null): void {
  field?.focus();
  field?.setSelectionRange(field.value.length, field.value.length);
}
