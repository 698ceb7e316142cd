/** Authors: who wrote a message. */

import type { MessageView } from "../../src/transcript.js";

/**
 * As the server verified; before that, as its writer claims. A device that was never told who it is claims no name: what
 * it wrote is by `me`.
 */
export function authorOf({ by, author }: Pick<MessageView, "by" | "author">, me = "user:"): string {
  if (by) return by;
  const { kind, name } = author;
  return typeof name === "string" && name ? `${typeof kind === "string" && kind ? kind : "user"}:${name}` : me;
}
