/**
 * Words: what a query asks for and whether a text has it, as Python's search index tells it (`syncd/store/search.py`).
 *
 * Letters and digits make words, folded in case and accents; each character of a script written without spaces, and
 * each emoji, is a word of its own, so that any run of them is found as a phrase. Pure. Knows nothing of messages.
 */

/** A word as it is compared, and where it stands in its text (UTF-16 units). */
export interface Word {
  readonly folded: string;
  readonly start: number;
  readonly end: number;
}

/** The folded words of one blank-separated part of a query: they stand behind each other in what is found. */
export type Phrase = readonly string[];

/** A piece of a text, and which ranges of it (start, end) matched. Text, never markup. */
export interface Snippet {
  readonly text: string;
  readonly ranges: readonly (readonly [start: number, end: number])[];
}

/** Characters of a snippet, and of it those before the first match. */
export const SNIPPET_CHARS = 160;
const LEAD_CHARS = 40;
/** Words of a query that count: more would be a document, not a query. */
const QUERY_WORDS_MAX = 32;

// Thai, Lao, Burmese, Khmer, kana, Han, Hangul; arrows to symbols, emoji without the skin tones.
const SINGLE =
  "\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff\\u3040-\\u30ff\\u31f0-\\u31ff\\u3400-\\u4dbf\\u4e00-\\u9fff" +
  "\\uac00-\\ud7af\\uf900-\\ufaff\\uff66-\\uff9f\\u2190-\\u2bff" +
  "\\u{1f000}-\\u{1f3fa}\\u{1f400}-\\u{1faff}\\u{20000}-\\u{3ffff}";
const LETTER = `(?![${SINGLE}])[\\p{L}\\p{N}]`;
const WORD = new RegExp(`[${SINGLE}]|(?:${LETTER})+(?:[\\u0300-\\u036f]+(?:${LETTER})*)*`, "gu");
// The same for most texts, and five times as fast: what it finds with such a character in it is gone through again.
const RUN = new RegExp(`[\\p{L}\\p{N}][\\p{L}\\p{N}\\u0300-\\u036f]*|[${SINGLE}]`, "gu");
const HAS_SINGLE = new RegExp(`[${SINGLE}]`, "u");
const ASCII_WORD = /[0-9A-Za-z]+/g;
// oxlint-disable-next-line no-control-regex
const ASCII = /^[\x00-\x7f]*$/;

/** The words of `text`, in order. */
export function* words(text: string): Generator<Word> {
  const isAscii = ASCII.test(text);
  for (const run of text.matchAll(isAscii ? ASCII_WORD : RUN)) {
    const [found] = run;
    if (isAscii || ASCII.test(found)) {
      yield { folded: found.toLowerCase(), start: run.index, end: run.index + found.length };
    } else if (!HAS_SINGLE.test(found)) {
      yield { folded: fold(found), start: run.index, end: run.index + found.length };
    } else {
      for (const match of found.matchAll(WORD)) {
        const start = run.index + match.index;
        yield { folded: fold(match[0]), start, end: start + match[0].length };
      }
    }
  }
}

/** The phrases of a query. All have to be there; the last word of the last may be the beginning of one. */
export function phrases(query: string): Phrase[] {
  const found: Phrase[] = [];
  for (const part of query.split(/\s+/)) {
    const phrase = Array.from(words(part), (word) => word.folded);
    if (phrase.length > 0 && found.push(phrase) === QUERY_WORDS_MAX) break;
  }
  return found;
}

/** Whether `text` holds every phrase of `query`. */
export function matches(text: string, query: readonly Phrase[]): boolean {
  // Cheap, and settles most texts: a word that is there is in what is left of the text without marks and case.
  const bare = bareOf(text);
  if (query.some((phrase) => phrase.some((word) => !bare.includes(bareOf(word))))) return false;
  const found = Array.from(words(text));
  return query.every((phrase, nth) => {
    const isLast = nth === query.length - 1;
    return found.some((_, at) => matched(found, at, phrase, isLast) > 0);
  });
}

/** The piece of `text` around the first match, with the ranges of all matches in it. */
export function snippet(text: string, query: readonly Phrase[]): Snippet {
  const spans: [number, number][] = [];
  const found = Array.from(words(text));
  for (let at = 0; at < found.length;) {
    const word = found[at]!;
    if (spans.length > 0 && word.start > spans[0]![0] + SNIPPET_CHARS - LEAD_CHARS) break;
    let length = 0;
    for (const [nth, phrase] of query.entries()) {
      length = Math.max(length, matched(found, at, phrase, nth === query.length - 1));
    }
    if (length > 0) spans.push([word.start, found[at + length - 1]!.end]);
    at += length || 1;
  }
  const begin = whole(text, Math.max(0, (spans[0]?.[0] ?? 0) - LEAD_CHARS));
  const shown = spans.filter(([start]) => start < begin + SNIPPET_CHARS);
  const end = whole(text, Math.max(begin + SNIPPET_CHARS, shown.at(-1)?.[1] ?? 0));
  const lead = begin > 0 ? "…" : "";
  const move = lead.length - begin;
  return {
    text: lead + text.slice(begin, end) + (end < text.length ? "…" : ""),
    ranges: shown.map(([start, stop]) => [start + move, stop + move] as const),
  };
}

/** How many words from `at` on are `phrase`, 0 if they are not. */
function matched(found: readonly Word[], at: number, phrase: Phrase, mayBegin: boolean): number {
  const last = phrase.length - 1;
  if (at + last >= found.length) return 0;
  for (const [nth, word] of phrase.entries()) {
    const have = found[at + nth]!.folded;
    if (have !== word && !(mayBegin && nth === last && have.startsWith(word))) return 0;
  }
  return phrase.length;
}

/** A word without case, accents and width. */
function fold(word: string): string {
  return caseless(word.normalize("NFKD").replace(/\p{M}/gu, unlessAccent).normalize("NFC"));
}

/** A text without case, marks and width: cheaper than its words, and has in it what is left of each of them. */
function bareOf(text: string): string {
  return ASCII.test(text) ? text.toLowerCase() : caseless(text.normalize("NFKD").replace(/\p{M}+/gu, ""));
}

/** By way of upper case, where ß is SS and both sigmas are one; the lower case of a word's last sigma is another. */
function caseless(text: string): string {
  return text.toLowerCase().toUpperCase().toLowerCase().replaceAll("ς", "σ");
}

/** Nothing for an accent, which combines with what is before it; a mark that is a letter of its own, as in Thai, stays. */
function unlessAccent(mark: string): string {
  let kept = keptMarks.get(mark);
  if (kept === undefined) {
    // What combines is put in order: before the iota below, which is the last of all.
    const isAccent = mark === "\u0345" || `\u0345${mark}`.normalize("NFD") !== `\u0345${mark}`;
    keptMarks.set(mark, (kept = isAccent ? "" : mark));
  }
  return kept;
}

const keptMarks = new Map<string, string>();

/** A place in `text` that is not within a character: `at`, or the one before it. */
function whole(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return unit >= 0xdc00 && unit <= 0xdfff ? at - 1 : at;
}
