/**
 * A binding between a text field and a shared text.
 *
 * 1. The field shows the text. What is typed goes to the text as the smallest edit that explains it; what others write
 *    comes into the field without moving the caret from its letter.
 * 2. While an input method composes, nothing is taken from the field or put into it: both wait for its end.
 */

import type * as Y from "yjs";
import { caretAfter, editBetween, editsOfDelta, type TextEdit } from "./text_edit.js";

export class Binding {
  /** What the field showed last, as far as the text knows. */
  #shown: string;
  #composing = false;
  #waiting: TextEdit[] = [];
  readonly #ends: (() => void)[] = [];

  constructor(
    private readonly field: HTMLTextAreaElement,
    private readonly text: Y.Text,
  ) {
    this.#shown = text.toString();
    field.value = this.#shown;
    const observer = (event: Y.YTextEvent, transaction: Y.Transaction) => {
      if (transaction.origin !== this) this.#theirs(editsOfDelta(event.delta));
    };
    text.observe(observer);
    this.#ends.push(() => text.unobserve(observer));
    this.#listen("input", () => this.#typed());
    this.#listen("compositionstart", () => {
      this.#composing = true;
    });
    this.#listen("compositionend", () => {
      this.#composing = false;
      this.#typed();
    });
  }

  close(): void {
    for (const end of this.#ends) end();
  }

  #listen(event: string, heard: () => void): void {
    this.field.addEventListener(event, heard);
    this.#ends.push(() => this.field.removeEventListener(event, heard));
  }

  #typed(): void {
    if (this.#composing) return; // Invariant 2.
    const edit = editBetween(this.#shown, this.field.value, this.field.selectionEnd);
    if (edit) this.#write(edit);
    this.#shown = this.field.value;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length > 0) this.#show(waiting);
  }

  /** Write what was typed, at its place in the text, which may have grown while an input method composed. */
  #write(edit: TextEdit): void {
    const from = this.#waiting.reduce(caretAfter, edit.at);
    const to = this.#waiting.reduce(caretAfter, edit.at + edit.removed);
    this.text.doc?.transact(() => {
      if (to > from) this.text.delete(from, to - from);
      if (edit.inserted) this.text.insert(from, edit.inserted);
    }, this);
  }

  #theirs(edits: TextEdit[]): void {
    if (this.#composing) this.#waiting.push(...edits);
    else this.#show(edits);
  }

  /** Show the text, the caret where it was by what `edits` did around it. Invariant 1. */
  #show(edits: readonly TextEdit[]): void {
    const { selectionStart, selectionEnd, selectionDirection, scrollTop } = this.field;
    this.#shown = this.text.toString();
    this.field.value = this.#shown;
    this.field.setSelectionRange(
      edits.reduce(caretAfter, selectionStart),
      edits.reduce(caretAfter, selectionEnd),
      selectionDirection,
    );
    this.field.scrollTop = scrollTop;
  }
}
