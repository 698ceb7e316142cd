/** Titles: what a session is called. Knows nothing of who asks. */

import type * as Y from "yjs";
import type { MessageView } from "./transcript.js";

/** The state's `session.title`, else the first line that a person wrote; empty for neither. */
export function titleOf(state: Y.Doc, messages: readonly MessageView[]): string {
  // As `Y.Map.get` reads it: a root that came while the session is open has no kind here yet.
  const entry = state.share.get("session")?._map.get("title");
  const title: unknown = entry && !entry.deleted ? entry.content.getContent()[entry.length - 1] : undefined;
  const named = typeof title === "string" ? title.trim() : "";
  const first = messages.find((view) => view.role === "user" && view.text.trim() !== "");
  return named || (first?.text.trim().split("\n", 1)[0]!.trim() ?? "");
}
