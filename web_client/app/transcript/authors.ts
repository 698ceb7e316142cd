/** Authors: who wrote a message. */

import type { MessageView } from "../../src/transcript.js";

/** As the server verified; before that, as its writer claims. */
export function authorOf({ by, author }: Pick<MessageView, "by" | "author">): string {
  if (by) return by;
  const { kind, name } = author;
  return `${typeof kind === "string" && kind ? kind : "user"}:${typeof name === "string" ? name : ""}`;
}
