/** Avatars: a face for a subject, round for a person and square for an agent. */

import { hueOf, initials, isAgent, nameOf } from "./names.js";

/** Decoration: the name stands beside it, or its container says it. */
export function Avatar({ subject, name, away = false }: { subject: string; name?: string; away?: boolean }) {
  const kind = isAgent(subject) ? "face agent" : "face";
  return (
    <span class={away ? `${kind} away` : kind} data-hue={hueOf(subject)} aria-hidden="true">
      {initials(name || nameOf(subject))}
    </span>
  );
}
