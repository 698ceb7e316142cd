/**
 * The composer: where a message is written, addressed with `@`, or said to an agent at work.
 *
 * Enter sends, Shift+Enter breaks the line. While an agent is at work there is a second way, to steer it: Ctrl+Enter.
 * What is sent to it meanwhile is queued. What is written and not sent yet is kept for this session, over reloads too.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import type { RunView } from "../../src/runs.js";
import { Draft } from "./draft.js";
import { useAsk, useHere, useMay } from "../session/here.js";
import { knownHere } from "./known.js";
import { lazy } from "../kit/lazy.js";
import { addressed, type Known } from "./mentions.js";
import { listed, nameOf, ownName } from "../people/names.js";
import type { Keys } from "./offers.js";
import { askedOf } from "./queued.js";
import { useShown } from "../people/shown.js";

const Offers = lazy(() => import("./offers.js").then((module) => module.Offers));
const Queue = lazy(() => import("./queue.js").then((module) => module.Queue));

const ROWS_MAX = 10;
/** How long somebody counts as typing after a keystroke, milliseconds. */
const QUIET_MS = 4000;

export function Composer({ sent }: { sent: () => void }) {
  const { session, view, me } = useHere();
  const ask = useAsk();
  const may = useMay("transcript");
  const commands = useMay("command");
  const [draft] = useState(() => new Draft(me, session.id));
  const [, draw] = useState({});
  const { text } = draft;
  const setText = (next: string) => {
    draft.write(next);
    draw({});
  };
  const field = useRef<HTMLTextAreaElement>(null);
  const typing = useShown(session, "status");
  const typed = (writing: boolean) => typing(writing ? () => "typing" : null, QUIET_MS);
  const here = knownHere(session);
  const met = new Set(here.values());
  const asksFor = askedOf(session, me);
  const running = session.runs().filter((run) => run.status === "running" && !run.cancelledBy);
  const to = addressed(text, here);
  const steered = toSteer(running, to);
  const blank = text.trim() === "";
  const asked = to.length > 0 ? to : session.responsible ? [session.responsible] : [];
  const busy = names(running.filter((run) => asked.includes(run.agent)));
  const waits = !blank && busy.length > 0 ? busy : null;

  useEffect(() => {
    // Where there is a keyboard one can write at once; on a phone it would cover half of what there is to read.
    if (document.activeElement === document.body && matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, [session]);

  /** Have what is in the field saved; not twice, since the field is empty by then. */
  const give = (save: () => Promise<unknown>) => {
    if (draft.text.trim() === "") return;
    ask(() =>
      draft
        .send(save)
        .then(sent)
        .finally(() => draw({})),
    );
    draw({});
    typed(false);
    field.current?.focus();
  };
  const send = () => {
    const name = ownName(me);
    give(() => view.post(text.trim(), { to, ...(name && { metadata: { name } }) }));
  };
  const steer = () => {
    if (steered.length === 0) return;
    const said = withoutMentions(text, here);
    give(() => Promise.all(steered.map((run) => session.steer(said, { run: run.id }))));
  };

  if (!may) {
    return (
      <footer class="composer">
        <p class="note">You may read here. To write, ask for a link that allows it.</p>
      </footer>
    );
  }
  return (
    <footer class="composer">
      {asksFor.waiting.length + asksFor.steers.length > 0 && (
        <Queue
          take={(words) => {
            setText(text ? `${text}\n${words}` : words);
            field.current?.focus();
          }}
        />
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <Field
          field={field}
          text={text}
          here={here}
          hint={
            running.length > 0 && commands ? `Message, or steer ${listed(names(running))}` : "Message, @ for an agent"
          }
          changed={(value) => {
            setText(value);
            typed(value.trim() !== "");
          }}
          send={send}
          steer={steer}
        />
        {running.length > 0 && commands && (
          <button
            type="button"
            disabled={blank || steered.length === 0}
            onClick={steer}
            title={
              steered.length > 0 ? `Say it to ${listed(names(steered))} at work (Ctrl+Enter)` : "Name an agent at work"
            }
          >
            Steer{steered.length > 0 && running.length > 1 && ` ${listed(names(steered))}`}
          </button>
        )}
        <button
          class="primary"
          disabled={blank}
          title={waits ? `${listed(waits)} is at work, and takes it up after that` : undefined}
        >
          {waits ? "Queue" : "Send"}
        </button>
      </form>
      <p class="to" aria-hidden={to.length === 0}>
        {to.length > 0
          ? `To ${listed(to.map((subject) => nameOf(subject) + (met.has(subject) ? "" : ", not met here yet")))}`
          : session.responsible
            ? `For whoever is responsible: ${session.responsible === me ? "you" : nameOf(session.responsible)}`
            : ""}
      </p>
    </footer>
  );
}

interface FieldProps {
  field: { current: HTMLTextAreaElement | null };
  text: string;
  here: Known;
  hint: string;
  changed: (text: string) => void;
  send: () => void;
  steer: () => void;
}

/** The text field, with a list of those who can be named while an `@` is typed. */
function Field({ field, text, here, hint, changed, send, steer }: FieldProps) {
  const [caret, setCaret] = useState(0);
  const [shut, setShut] = useState(true);
  const keys = useRef<Keys>(null);

  const look = (element: HTMLTextAreaElement) => setCaret(element.selectionStart);
  const key = (event: KeyboardEvent) => {
    if (event.isComposing || keys.current?.(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (event.ctrlKey || event.metaKey) steer();
      else send();
    }
  };

  return (
    <div class="field">
      {!shut && text.includes("@") && (
        <Offers field={field} text={text} caret={caret} here={here} keys={keys} changed={changed} shut={setShut} />
      )}
      <textarea
        ref={(element) => {
          field.current = element;
          if (element) element.rows = Math.min(ROWS_MAX, text.split("\n").length);
        }}
        aria-label="Message"
        placeholder={hint}
        value={text}
        rows={1}
        aria-haspopup="listbox"
        aria-autocomplete="list"
        enterkeyhint="send"
        onInput={(event) => {
          setShut(false);
          look(event.currentTarget);
          changed(event.currentTarget.value);
        }}
        onKeyDown={key}
        onKeyUp={(event) => look(event.currentTarget)}
        onClick={(event) => look(event.currentTarget)}
        onFocus={() => void Offers.preload()}
        onBlur={() => setShut(true)}
      />
    </div>
  );
}

/** The runs that a steer is for: of those at work the ones that are named, or the only one. */
function toSteer(running: readonly RunView[], to: readonly string[]): readonly RunView[] {
  if (to.length > 0) return running.filter((run) => to.includes(run.agent));
  return running.length === 1 ? running : [];
}

/** A steer is said to the agent already: its name at the beginning is left out. */
function withoutMentions(text: string, here: Known): string {
  const rest = text.trim().replace(/^(?:@[\p{L}\p{N}_.:-]+[\s,:]+)+/u, "");
  return rest && addressed(text, here).length > 0 ? rest : text.trim();
}

function names(runs: readonly RunView[]): string[] {
  return [...new Set(runs.map((run) => nameOf(run.agent)))];
}
