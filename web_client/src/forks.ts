/**
 * Forks: what is written to edit a message, or to have an answer made again. PROTOCOL 5.2.
 *
 * Knows nothing of how it is written, nor of what becomes of it.
 */

import { Branches, isRequest, REGENERATE } from "./branches.js";
import { LocalProtocolError } from "./core/errors.js";
import type { JsonMap } from "./core/messages.js";
import { isStreamed } from "./schema.js";
import type { Part, Role } from "./schema.js";
import type { MessageView } from "./transcript.js";

/** The fields of a message that is an alternative to another. */
export interface Fork {
  readonly role: Role;
  readonly to: readonly string[];
  readonly parent: string | null;
  readonly forkOf: string;
  readonly parts: readonly Part[];
  readonly metadata: JsonMap;
}

/**
 * The message that says `text` in place of `id`, with its files and all else that is no text.
 *
 * Throws `LocalProtocolError`: there is no such message, or nothing in it to edit.
 */
export function editOf(messages: readonly MessageView[], id: string, text: string, to?: readonly string[]): Fork {
  const view = find(messages, id);
  if (isRequest(view)) {
    throw new LocalProtocolError(`message ${id} only asks for another answer: there is nothing to edit in it`);
  }
  const kept = view.parts.filter((part) => !isStreamed(part.type));
  if (text === "" && kept.length === 0) throw new LocalProtocolError("a message holds a text or parts");
  return {
    role: view.role,
    to: to ?? view.to,
    parent: new Branches(messages).parentOf(id),
    forkOf: id,
    parts: text === "" ? kept : [textPart(text), ...kept],
    metadata: view.metadata,
  };
}

/**
 * The request for another answer in place of `id`. `to`: who is to make it, else who made that one.
 *
 * Throws `LocalProtocolError`: there is no such message, it is no answer, or no agent is known to have made it.
 */
export function regenerationOf(messages: readonly MessageView[], id: string, to?: string): Fork {
  const view = find(messages, id);
  if (view.role !== "assistant" && !isRequest(view)) {
    throw new LocalProtocolError(`message ${id} is no answer: edit it instead`);
  }
  const author = view.by ?? `${String(view.author["kind"])}:${String(view.author["name"])}`;
  const madeBy = isRequest(view) ? view.to.slice(0, 1) : [author];
  const agents = to === undefined ? madeBy.filter((name) => name.startsWith("agent:")) : [to];
  if (agents.length === 0) {
    throw new LocalProtocolError(`no agent made message ${id}: say whom to ask, as in {to: "agent:planner"}`);
  }
  const parent = new Branches(messages).parentOf(id);
  return { role: "system", to: agents, parent, forkOf: id, parts: [], metadata: { [REGENERATE]: id } };
}

/** A part that holds `text`, whole. */
export function textPart(text: string): Part {
  return { id: "0", type: "text", text };
}

function find(messages: readonly MessageView[], id: string): MessageView {
  const found = messages.find((view) => view.id === id);
  if (found === undefined) throw new LocalProtocolError(`there is no message ${id} in this copy`);
  return found;
}
