/** Refused edits: what somebody wrote in them can be read, and so be copied. */

import { expect, test } from "vitest";
import * as Y from "yjs";
import { textsOf } from "../../app/session/refused.js";
import type { RefusedEdit } from "../../src/core/replica.js";

/** A shared text, and all edits that `write` makes in it after `begin`, one for each transaction. */
function refusedOf(begin: string, write: (text: Y.Text) => void): { edits: RefusedEdit[]; state: Y.Doc } {
  const typing = new Y.Doc();
  const text = typing.getText("document");
  text.insert(0, begin);
  const state = new Y.Doc();
  Y.applyUpdate(state, Y.encodeStateAsUpdate(typing));
  const edits: RefusedEdit[] = [];
  typing.on("update", (update: Uint8Array) =>
    edits.push({ layer: "state", update, code: "forbidden", reason: "no", at: 0 }),
  );
  write(text);
  return { edits, state };
}

function type(text: Y.Text, at: number, words: string): void {
  for (const [index, letter] of [...words].entries()) text.insert(at + index, letter);
}

test("what was typed letter by letter is one text, without what was taken back", () => {
  const { edits, state } = refusedOf("Plan: ", (text) => {
    type(text, 6, "tram 82");
    text.delete(11, 2);
    type(text, 11, "28");
  });
  expect(textsOf(edits, state)).toEqual(["tram 28"]);
});

test("texts at two places are two, and what was written before is none of them", () => {
  const { edits, state } = refusedOf("one two", (text) => {
    type(text, 7, " three");
    type(text, 3, " and");
    text.delete(0, 2);
  });
  expect(textsOf(edits, state)).toEqual([" and", " three"]);
});

test("others went on with the text meanwhile", () => {
  const { edits, state } = refusedOf("one two", (text) => type(text, 3, " and"));
  state.getText("document").delete(0, 5);
  state.getText("document").insert(0, "1 ");
  expect(textsOf(edits, state)).toEqual([" and"]);
});

test("what is no text is not shown as one", () => {
  const { edits, state } = refusedOf("one", (text) => {
    text.doc!.getMap("session").set("title", "Two days");
    text.delete(0, 1);
  });
  expect(textsOf(edits, state)).toEqual([]);
});
