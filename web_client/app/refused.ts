/** Refused edits: what a person wrote in them, so that it can be kept when the server does not want it. Pure. */

import * as Y from "yjs";
import type { RefusedEdit } from "../src/core/replica.js";

/** The texts of messages in a refused edit. An edit that builds on another one has none to show. */
export function textsOf(edit: RefusedEdit): string[] {
  const document = new Y.Doc();
  Y.applyUpdate(document, edit.update);
  const texts: string[] = [];
  if (edit.layer === "transcript") {
    for (const message of document.getMap("messages").values()) {
      if (!(message instanceof Y.Map)) continue;
      const parts: unknown = (message.toJSON() as { parts?: unknown })["parts"];
      if (!Array.isArray(parts)) continue;
      for (const { type, text } of parts as { type?: unknown; text?: unknown }[]) {
        if (type === "text" && typeof text === "string" && text) texts.push(text);
      }
    }
  }
  document.destroy();
  return texts;
}
