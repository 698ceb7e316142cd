/**
 * Mentions: whom a message that is typed addresses, by `@name`. The same rules as in the terminal, and besides the names
 * that people call themselves.
 *
 * 1. `@name` is who has that name in their subject, the agent before the person.
 * 2. Else it is the one person here who calls themselves so. Where several do it is nobody: each is named by what is
 *    offered for them.
 * 3. Where nobody has the name as it is typed, capitals do not count.
 *
 * Pure: who is known comes in.
 */

import { codeOf, isGuest } from "../people/names.js";

/** Names to subjects; to an empty one for a name that several call themselves. */
export type Known = ReadonlyMap<string, string>;

const MENTION = /(?<![\p{L}\p{N}_@])@((?:[a-z]{1,16}:)?[\p{L}\p{N}_][\p{L}\p{N}_.-]*)/gu;
const SUBJECT = /^[a-z]{1,16}:[^\s:\p{Cc}\p{Cf}]{1,110}$/u;

/** Who is known, name to subject, by rules 1 and 2. `called` says what somebody calls themselves; empty for nothing. */
export function known(subjects: Iterable<string>, called: (subject: string) => string = () => ""): Known {
  const sorted = [...new Set(subjects)].filter((subject) => isSubject(subject) && !subject.startsWith("server:"));
  sorted.sort((a, b) => rank(a) - rank(b) || (a < b ? 1 : -1));
  const names = new Map<string, string>();
  for (const subject of sorted) if (!names.has(bare(subject))) names.set(bare(subject), subject);
  const taken = new Set([...names.keys()].map(folded));
  const claims = new Map<string, string>();
  for (const subject of sorted) {
    const claim = folded(typeable(called(subject)));
    claims.set(claim, claims.has(claim) ? "" : subject);
  }
  for (const subject of sorted) {
    const name = typeable(called(subject));
    if (name && !taken.has(folded(name))) names.set(name, claims.get(folded(name))!);
    if (isGuest(subject) && names.get(name) !== subject) names.set(`${name || "guest"}-${codeOf(subject)}`, subject);
  }
  return names;
}

/** The subject that `name` means here, or is; undefined if nobody has it, empty if nobody in particular. */
export function subjectOf(name: string, here: Known): string | undefined {
  if (name.includes(":")) return isSubject(name) ? name : "";
  const near = here.has(name) ? name : [...here.keys()].find((other) => folded(other) === folded(name));
  return here.get(near ?? name);
}

export function isSubject(text: string): boolean {
  return SUBJECT.test(text);
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
    const subject = subjectOf(name, here) ?? (leads ? `agent:${name}` : "");
    if (leads) beginning = mention.index + mention[0].length;
    if (isSubject(subject) && !found.includes(subject)) found.push(subject);
  }
  return found;
}

/** The part of a subject that is a name. */
export function bare(subject: string): string {
  return subject.slice(subject.indexOf(":") + 1);
}

export function folded(name: string): string {
  return name.toLowerCase();
}

/** What somebody calls themselves as it can be typed behind an `@`, in one word. */
function typeable(name: string): string {
  return name
    .normalize()
    .replace(/[^\p{L}\p{N}_]+/gu, "-")
    .replace(/^-|-$/g, "");
}

export function rank(subject: string): number {
  return subject.startsWith("agent:") ? 0 : 1;
}
