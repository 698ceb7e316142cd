/** Names: how subjects such as `user:mona` are shown to people. Knows nothing of sessions. */

/** How many colours there are for faces; the stylesheet has one for each. */
const HUES = 10;

/** Those who came by a link. Their subject is a hash: they are called what they call themselves, and marked as guests. */
const GUEST = "user:guest-";
const NAME_CHARS = 40;
const guests = new Map<string, string>();

export function isGuest(subject: string): boolean {
  return subject.startsWith(GUEST);
}

/** Learn what a guest calls themselves. For anybody else it means nothing: their names are verified. */
export function callGuest(subject: string, name: unknown): void {
  if (isGuest(subject) && typeof name === "string" && shown(name))
    guests.set(subject, shown(name).slice(0, NAME_CHARS));
}

/** What a guest is called, for what they write to say it too; empty for anybody else. */
export function ownName(subject: string): string {
  return guests.get(subject) ?? "";
}

/** What tells a guest from others who call themselves the same. */
export function codeOf(guest: string): string {
  return guest.slice(GUEST.length, GUEST.length + 4);
}

/** The part of a subject that people say: `mona` of `user:mona`. */
export function nameOf(subject: string): string {
  if (isGuest(subject)) return `${guests.get(subject) ?? codeOf(subject)} (guest)`;
  const colon = subject.indexOf(":");
  return shown(colon < 0 ? subject : subject.slice(colon + 1)) || "somebody";
}

export function isAgent(subject: string): boolean {
  return subject.startsWith("agent:");
}

/** Two letters that stand for a name, by its words. */
export function initials(name: string): string {
  const words = name
    .replace(/ \(guest\)$/, "")
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean);
  const letters = words.length > 1 ? first(words[0]) + first(words[1]) : [...(words[0] ?? "?")].slice(0, 2).join("");
  return letters.toUpperCase();
}

/** What a session is called in one line: its first words may be Markdown, and begin with whom they were for. */
export function titled(title: string): string {
  return shown(title)
    .replace(/^(?:@[^\s]+\s+)+(?=\S)/, "")
    .replace(/[*`]+|^#+\s+|^>\s+/g, "");
}

/** The colour of a subject, the same in every browser. */
export function hueOf(subject: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < subject.length; at++) hash = Math.imul(hash ^ subject.charCodeAt(at), 0x01000193);
  return (hash >>> 8) % HUES;
}

/**
 * A text of somebody else as one line: without what turns the reading direction or is not seen, so that a name cannot
 * read as what it is not.
 */
export function shown(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, " ")
    .replace(/\s+/g, " ")
    .trim();
}

function first(word: string | undefined): string {
  return [...(word ?? "")][0] ?? "";
}

/** What is called `word`, counted: `1 edit`, `2 edits`. */
export function plural(count: number, word: string): string {
  return count === 1 ? `1 ${word}` : `${count} ${word}s`;
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
