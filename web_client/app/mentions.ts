/**
 * Mentions: whom a message that is typed addresses, by `@name`. The same rules as in the terminal.
 *
 * Pure: who is known comes in.
 */

/** Names to subjects. */
export type Known = ReadonlyMap<string, string>;

const MENTION = /(?<![\p{L}\p{N}_@])@((?:[a-z]{1,16}:)?[\p{L}\p{N}_][\p{L}\p{N}_.-]*)/gu;
const SUBJECT = /^[a-z]{1,16}:[^\s:\p{Cc}\p{Cf}]{1,110}$/u;
const UNDER_CARET = /(?<![\p{L}\p{N}_@])@([\p{L}\p{N}_.:-]*)$/u;

/** Who is known, name to subject: where an agent and a person have one name it is the agent's. */
export function known(subjects: Iterable<string>): Known {
  const sorted = [...new Set(subjects)].filter((subject) => SUBJECT.test(subject) && !subject.startsWith("server:"));
  const rank = (subject: string) => (subject.startsWith("agent:") ? 1 : 0);
  sorted.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return new Map(sorted.map((subject) => [subject.slice(subject.indexOf(":") + 1), subject]));
}

/**
 * The subjects that `text` addresses.
 *
 * At its beginning `@name` is the agent of that name, also one that was never heard of; further in it counts only for
 * those who are known, since not every `@` means somebody.
 */
export function addressed(text: string, here: Known): string[] {
  const found: string[] = [];
  let beginning = 0;
  for (const mention of text.matchAll(MENTION)) {
    const leads = /^[\s,:]*$/.test(text.slice(beginning, mention.index));
    const name = mention[1]!.replace(/[.-]+$/, "");
    const subject = name.includes(":") ? name : (here.get(name) ?? (leads ? `agent:${name}` : ""));
    if (leads) beginning = mention.index + mention[0].length;
    if (SUBJECT.test(subject) && !found.includes(subject)) found.push(subject);
  }
  return found;
}

/** What is being typed behind an `@` right before the caret, and where that `@` stands; null if there is none. */
export function begun(text: string, caret: number): { at: number; name: string } | null {
  const match = UNDER_CARET.exec(text.slice(0, caret));
  return match ? { at: match.index, name: match[1]! } : null;
}

/** Those whose name goes on from `beginning`, agents first; at most eight. */
export function offered(here: Known, beginning: string): { name: string; subject: string }[] {
  const wanted = beginning.toLowerCase();
  const all = [...here].map(([name, subject]) => ({ name, subject }));
  const fitting = all.filter(
    ({ name, subject }) => name.toLowerCase().startsWith(wanted) || subject.startsWith(wanted),
  );
  const rank = (subject: string) => (subject.startsWith("agent:") ? 0 : 1);
  return fitting.sort((a, b) => rank(a.subject) - rank(b.subject) || a.name.localeCompare(b.name)).slice(0, 8);
}

/** `text` with the mention that is being typed put in full, and where the caret is then. */
export function complete(text: string, caret: number, name: string): { text: string; caret: number } {
  const place = begun(text, caret);
  if (!place) return { text, caret };
  const rest = text.slice(caret);
  const head = `${text.slice(0, place.at)}@${name}${/^\s/.test(rest) ? "" : " "}`;
  return { text: head + rest, caret: /^\s/.test(rest) ? head.length + 1 : head.length };
}
