/** A message of somebody: who, when, what; and what can be done with it. */

import { useState } from "preact/hooks";
import type { BranchItem } from "../../src/branches.js";
import { authorOf } from "./authors.js";
import { Avatar } from "../people/avatar.js";
import { BranchSteps } from "./branch.js";
import { useAsk, useHere, useMay, useOnce } from "../session/here.js";
import { AgainIcon, CopyIcon, EditIcon } from "../kit/icons.js";
import { lazy } from "../kit/lazy.js";
import { listed, nameOf } from "../people/names.js";
import { Parts } from "./parts.js";
import { isRequest } from "./rows.js";
import { clock } from "../kit/times.js";

const EditMessage = lazy(() => import("../kit/forms.js").then((module) => module.EditMessage));

export function MessageRow({ item, stepped }: { item: BranchItem; stepped: () => void }) {
  const { message } = item;
  const { me } = useHere();
  const [editing, setEditing] = useState(false);
  if (isRequest(item)) return <Awaited item={item} stepped={stepped} />;
  const author = authorOf(message, me);
  const own = author === me;
  const pending = message.receipt === null;
  return (
    <article
      class={pending ? "message pending" : "message"}
      id={`m-${message.id}`}
      aria-label={`${nameOf(author)} wrote`}
    >
      <Avatar subject={author} />
      <header>
        <b>{nameOf(author)}</b>
        <small>
          {pending ? (own ? "this device, not sent yet" : "on this device only") : clock(message.receipt!.at)}
          {message.to.length > 0 && ` to ${listed(message.to.map(nameOf))}`}
        </small>
        <BranchSteps item={item} stepped={stepped} />
        {!editing && (
          <Actions item={item} edit={message.role === "user" ? () => setEditing(true) : null} stepped={stepped} />
        )}
      </header>
      <div class="body">
        {editing ? (
          <EditMessage
            message={message}
            close={() => {
              setEditing(false);
              stepped();
            }}
          />
        ) : (
          <Parts parts={message.parts} run={null} ended={!message.streaming} />
        )}
      </div>
    </article>
  );
}

/** Another answer is asked for, and nobody has it yet. */
function Awaited({ item, stepped }: { item: BranchItem; stepped: () => void }) {
  return (
    <p class="note" id={`m-${item.message.id}`}>
      Another answer is asked for{item.message.to.length > 0 && `, from ${listed(item.message.to.map(nameOf))}`}
      {item.message.receipt === null && ", not sent yet"}
      <BranchSteps item={item} stepped={stepped} />
    </p>
  );
}

/** The small buttons of a message. They are there for the keyboard always, for the mouse when it is near. */
export function Actions({ item, edit, stepped }: { item: BranchItem; edit: (() => void) | null; stepped: () => void }) {
  const { view } = useHere();
  const ask = useAsk();
  const { once } = useOnce();
  const { message } = item;
  const may = useMay("transcript");
  const again = may && message.role === "assistant" && authorOf(message).startsWith("agent:") && !message.streaming;
  return (
    <span class="actions">
      {message.text && (
        <button
          class="plain"
          aria-label="Copy"
          title="Copy"
          onClick={() => ask(() => navigator.clipboard.writeText(message.text))}
        >
          <CopyIcon />
        </button>
      )}
      {edit && may && (
        <button class="plain" aria-label="Edit" title="Edit: asks again beside this one" onClick={edit}>
          <EditIcon />
        </button>
      )}
      {again && (
        <button
          class="plain"
          aria-label="Another answer"
          title="Another answer, beside this one"
          // Of a double click the second one may come when the first is done.
          onClick={({ detail }) => detail < 2 && once(() => view.regenerate(message.id).then(stepped))}
        >
          <AgainIcon />
        </button>
      )}
    </span>
  );
}
