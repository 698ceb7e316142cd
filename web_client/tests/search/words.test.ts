/** The query language: the same as the Python client's. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { matches, phrases, snippet, words } from "../../src/search/words.js";

interface Case {
  readonly text: string;
  readonly query: string;
  readonly words: readonly string[];
  readonly phrases: readonly (readonly string[])[];
  readonly matches: boolean;
  readonly excerpt: string;
}
const file = new URL("../../../tests/vectors/v1/search.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: readonly Case[] };

/** A snippet as Python writes it. */
function excerpt(text: string, query: string): string {
  const found = snippet(text, phrases(query));
  let out = "";
  let at = 0;
  for (const [start, end] of found.ranges) {
    out += `${found.text.slice(at, start)}\u2068${found.text.slice(start, end)}\u2069`;
    at = end;
  }
  return out + found.text.slice(at);
}

describe("the words of a text", () => {
  test.each(cases)("are those that Python finds: $text / $query", (given) => {
    expect(Array.from(words(given.text), (word) => word.folded)).toEqual(given.words);
    expect(phrases(given.query)).toEqual(given.phrases);
    expect(matches(given.text, phrases(given.query))).toBe(given.matches);
    if (given.phrases.length > 0) expect(excerpt(given.text, given.query)).toBe(given.excerpt);
  });

  test("there are cases that match and such that do not", () => {
    expect(new Set(cases.map((given) => given.matches))).toEqual(new Set([true, false]));
    expect(cases.length).toBeGreaterThan(20);
  });

  test("a document pasted as a query is cut to its first words", () => {
    expect(phrases("word ".repeat(1000)).length).toBe(32);
  });

  test("a snippet never cuts a character in two", () => {
    const found = snippet(`${"😀 ".repeat(60)}needle ${"😀 ".repeat(90)}`, phrases("needle"));
    expect(encodeURIComponent(found.text)).toContain("needle");
    const odd = snippet(`x${"😀".repeat(60)}needle${"😀".repeat(90)}`, phrases("needle"));
    expect(encodeURIComponent(odd.text)).toContain("needle"); // It throws at half a character.
    expect(odd.text.slice(...odd.ranges[0]!)).toBe("needle");
  });
});
