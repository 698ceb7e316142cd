/**
 * A binding between a text field and a shared text.
 *
 * 1. The field shows the text. What is typed goes to the text as the smallest edit that explains it; what others write
 *    comes into the field without moving the caret from its letter.
 * 2. While an input method composes, nothing is taken from the field or put into it: both wait for its end.
 * 3. Line ends of another kind, which a field does not know, stay in the text as they are, and count there: what is
 *    taken from the field or put into it is at its place in the text first.
 */

import type * as Y from "yjs";
import { asShown, caretAfter, editBetween, editsOfDelta, inField, inText, type TextEdit } from "./text_edit.js";

export class Binding {
  /** The text that the field shows. */
  #known: string;
  #composing = false;
  #waiting: TextEdit[] = [];
  readonly #ends: (() => void)[] = [];

  constructor(
    private readonly field: HTMLTextAreaElement,
    private readonly text: Y.Text,
  ) {
    this.#known = text.toString();
    field.value = asShown(this.#known);
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
    const edit = editBetween(asShown(this.#known), this.field.value, this.field.selectionEnd);
    if (edit) this.#write(edit);
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length > 0) this.#show(waiting);
  }

  /** Write what was typed, at its place in the text, which may have grown while an input method composed. */
  #write({ at, removed, inserted }: TextEdit): void {
    const known = this.#known;
    const [from, to] = [inText(known, at), inText(known, at + removed)];
    // Behind a `\r` alone, a line's end would only become a part of it.
    if (known[from - 1] === "\r" && (inserted || known.slice(to)).startsWith("\n")) inserted = `\n${inserted}`;
    this.#known = known.slice(0, from) + inserted + known.slice(to);
    const end = this.#waiting.reduce(caretAfter, to);
    let begin = from;
    // What others wrote behind it is behind all of it now.
    this.#waiting = this.#waiting.map((edit) => {
      const behind = edit.at < begin ? 0 : inserted.length - (to - from);
      begin = caretAfter(begin, edit);
      return { ...edit, at: edit.at + behind };
    });
    this.text.doc?.transact(() => {
      if (end > begin) this.text.delete(begin, end - begin);
      if (inserted) this.text.insert(begin, inserted);
    }, this);
  }

  #theirs(edits: TextEdit[]): void {
    if (this.#composing) this.#waiting.push(...edits);
    else this.#show(edits);
  }

  /** Show the text, the caret where it was by what `edits` did around it. Invariant 1. */
  #show(edits: readonly TextEdit[]): void {
    const { selectionStart, selectionEnd, selectionDirection, scrollTop } = this.field;
    const [before, after] = [this.#known, (this.#known = this.text.toString())];
    const moved = (caret: number) => inField(after, edits.reduce(caretAfter, inText(before, caret)));
    this.field.value = asShown(after);
    this.field.setSelectionRange(moved(selectionStart), moved(selectionEnd), selectionDirection);
    this.field.scrollTop = scrollTop;
  }
}
