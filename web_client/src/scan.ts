/**
 * Scan: finding messages of one session by their words, without an index.
 *
 * Knows nothing of documents. `search/` has a scan of its own, with the language of Python's index: scripts without
 * spaces, emoji and phrases. Used here too it would add 0.6 KB gz to the core, which its limit of 45 KB does not leave.
 */

import type { MessageView } from "./transcript.js";

/** A message's text as it is searched, kept until the message is another. */
const folded = new WeakMap<MessageView, string>();

/** Those of `messages` that hold all words of `query`, newest first. The last word may be a beginning. */
export function scan(messages: readonly MessageView[], query: string, limit: number): MessageView[] {
  const words = wordsOf(query);
  const last = words.at(-1);
  if (last === undefined) return [];
  const whole = words.slice(0, -1).map((word) => ` ${word} `);
  const found: MessageView[] = [];
  for (let at = messages.length - 1; at >= 0 && found.length < limit; at--) {
    const view = messages[at]!;
    let text = folded.get(view);
    if (text === undefined) folded.set(view, (text = ` ${wordsOf(view.text).join(" ")} `));
    if (text.includes(` ${last}`) && whole.every((word) => text.includes(word))) found.push(view);
  }
  return found;
}

/** The words of a text, without case or accents. */
function wordsOf(text: string): readonly string[] {
  return (
    text
      .normalize("NFD")
      .replace(/\p{M}/gu, "")
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  );
}
