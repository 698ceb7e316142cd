/** Cursors: where everybody stands in a shared text, as presence carries it. */

import * as Y from "yjs";
import type { Json, PresenceEntry } from "../../src/core/messages.js";
import { isGuest, nameOf, shown } from "../people/names.js";

export interface Cursor {
  readonly key: string;
  readonly subject: string;
  readonly name: string;
  /** Where in the text, in its own units. */
  readonly at: number;
}

/** What presence says of a caret at `index`: it stays at its letter, whatever is written before it. */
export function cursorOf(name: string, text: Y.Text, index: number): Json {
  const position = Y.createRelativePositionFromTypeIndex(text, index);
  return { text: name, at: JSON.parse(JSON.stringify(Y.relativePositionToJSON(position))) as Json };
}

/** The others' cursors in the text `name`, in the order they stand in. What is no cursor is left out. */
export function cursorsIn(name: string, text: Y.Text, entries: readonly PresenceEntry[]): Cursor[] {
  const found: Cursor[] = [];
  for (const { peer, subject, name: called, state } of entries) {
    const at = placeOf(name, text, state);
    if (at !== null)
      found.push({
        key: peer,
        subject,
        name: isGuest(subject) ? nameOf(subject) : shown(called) || nameOf(subject),
        at,
      });
  }
  return found.sort((one, other) => one.at - other.at);
}

function placeOf(name: string, text: Y.Text, state: Json): number | null {
  const cursor = (state as { cursor?: { text?: unknown; at?: unknown } } | null)?.cursor;
  if (cursor?.text !== name || typeof cursor.at !== "object" || cursor.at === null || !text.doc) return null;
  try {
    const position = Y.createRelativePositionFromJSON(cursor.at);
    const place = Y.createAbsolutePositionFromRelativePosition(position, text.doc);
    return place?.type === text ? Math.min(place.index, text.length) : null;
  } catch {
    // Anybody may say anything in presence.
    return null;
  }
}
