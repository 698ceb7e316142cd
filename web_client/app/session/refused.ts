/** Refused edits: what a person wrote in them, so that it can be kept when the server does not want it. Pure. */

import * as Y from "yjs";
import type { RefusedEdit } from "../../src/core/replica.js";

/** The texts of messages in refused edits, and what was typed into shared texts: `state` is what they were left out of. */
export function textsOf(edits: readonly RefusedEdit[], state: Y.Doc): string[] {
  const typed = edits.filter(({ layer }) => layer === "state");
  return [
    ...edits.filter(({ layer }) => layer === "transcript").flatMap(messagesIn),
    ...(typed.length > 0 ? typedIn(typed, state) : []),
  ];
}

/** An edit that builds on another one has none to show. */
function messagesIn({ update }: RefusedEdit): string[] {
  const document = new Y.Doc();
  Y.applyUpdate(document, update);
  const texts: string[] = [];
  for (const message of document.getMap("messages").values()) {
    if (!(message instanceof Y.Map)) continue;
    const parts: unknown = (message.toJSON() as { parts?: unknown })["parts"];
    if (!Array.isArray(parts)) continue;
    for (const { type, text } of parts as { type?: unknown; text?: unknown }[]) {
      if (type === "text" && typeof text === "string" && text) texts.push(text);
    }
  }
  document.destroy();
  return texts;
}

/** Each keystroke is an edit on top of the others: all are put where they were, and what stands together is one text. */
function typedIn(edits: readonly RefusedEdit[], state: Y.Doc): string[] {
  const document = new Y.Doc();
  Y.applyUpdate(document, Y.encodeStateAsUpdate(state));
  const texts: string[] = [];
  // Read before the transaction ends: it joins what was refused to what the same person wrote in front of it.
  document.transact(({ beforeState }) => {
    for (const { update } of edits) Y.applyUpdate(document, update);
    for (const root of document.share.values()) {
      let goesOn = false;
      for (let item = root._start; item; item = item.right) {
        if (item.deleted) continue;
        const { str } = item.content as { str?: string };
        const isRefused = str !== undefined && item.id.clock >= (beforeState.get(item.id.client) ?? 0);
        if (isRefused) texts.push(goesOn ? texts.pop() + str : str);
        goesOn = isRefused;
      }
    }
  });
  document.destroy();
  return texts;
}
