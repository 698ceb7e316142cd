/** Text edits: what was typed, and where a caret stands after what somebody else wrote. */

import { expect, test } from "vitest";
import * as Y from "yjs";
import {
  asShown,
  caretAfter,
  editBetween,
  editsOfDelta,
  inField,
  inText,
  type TextEdit,
} from "../../app/panel/text_edit.js";

const apply = (text: string, { at, removed, inserted }: TextEdit) =>
  text.slice(0, at) + inserted + text.slice(at + removed);

test("equal texts have no edit", () => {
  expect(editBetween("same", "same")).toBeNull();
});

test("what was typed into a row of the same letter is where the caret is", () => {
  expect(editBetween("aaaa", "aaaaa", 2)).toEqual({ at: 1, removed: 0, inserted: "a" });
  expect(editBetween("aaaa", "aaa", 1)).toEqual({ at: 1, removed: 1, inserted: "" });
});

test("a replaced selection is one edit", () => {
  expect(editBetween("one two three", "one 2 three", 5)).toEqual({ at: 4, removed: 3, inserted: "2" });
});

test("no edit cuts a character in two", () => {
  const [before, after] = ["a\u{1f600}b", "a\u{1f601}b"];
  expect(editBetween(before, after)).toEqual({ at: 1, removed: 2, inserted: "\u{1f601}" });
  // The two share their second half.
  expect(editBetween("\u{1f600}", "\u{1fa00}")).toEqual({ at: 0, removed: 2, inserted: "\u{1fa00}" });
});

test("the edit between any two texts makes the one of the other, and is no longer than it must be", () => {
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  const letters = ["a", "b", "\n", "\u{1f600}", "\u{1f601}", "é"];
  const text = () => Array.from({ length: random(12) }, () => letters[random(letters.length)]).join("");
  for (let round = 0; round < 5000; round++) {
    const [before, after] = [text(), text()];
    const edit = editBetween(before, after, random(after.length + 1));
    if (edit === null) expect(before).toBe(after);
    else {
      expect(apply(before, edit)).toBe(after);
      expect(edit.removed + edit.inserted.length).toBeLessThanOrEqual(before.length + after.length);
      expect(/[\ud800-\udfff]/u.test(edit.inserted)).toBe(false);
    }
  }
});

test("a caret stays at its letter", () => {
  expect(caretAfter(5, { at: 2, removed: 0, inserted: "xx" })).toBe(7);
  expect(caretAfter(5, { at: 5, removed: 0, inserted: "xx" })).toBe(5);
  expect(caretAfter(5, { at: 8, removed: 2, inserted: "" })).toBe(5);
  expect(caretAfter(5, { at: 3, removed: 4, inserted: "" })).toBe(3);
  expect(caretAfter(9, { at: 3, removed: 4, inserted: "yy" })).toBe(7);
});

test("the edits of a Yjs event, one after another, make its text", () => {
  const text = new Y.Doc().getText("t");
  text.insert(0, "hello world");
  let shown = text.toString();
  text.observe((event) => {
    for (const edit of editsOfDelta(event.delta)) shown = apply(shown, edit);
  });
  text.doc!.transact(() => {
    text.insert(5, ", dear");
    text.delete(0, 2);
    text.insert(text.length, "!");
  });
  expect(shown).toBe(text.toString());
});

test("a place in a field is one in its text, whatever line ends that has", () => {
  const text = "a\r\nb\rc\n\r\r\nd";
  const shown = asShown(text);
  expect(shown).toBe("a\nb\nc\n\n\nd");
  for (let at = 0; at <= shown.length; at++) {
    expect(asShown(text.slice(0, inText(text, at)))).toBe(shown.slice(0, at));
    expect(inField(text, inText(text, at))).toBe(at);
  }
  expect(inField(text, 2)).toBe(2); // Between the two of a line end, there is no place in a field.
});
