/**
 * Text edits: what changed between two texts, as the one piece that was replaced, and where a caret stands after it.
 *
 * Pure. Positions are UTF-16 code units, as in text fields and Yjs.
 */

export interface TextEdit {
  readonly at: number;
  readonly removed: number;
  readonly inserted: string;
}

/**
 * The smallest replacement that makes `after` of `before`; null if they are equal.
 *
 * Of several places that give the same text (a letter typed into a row of the same) it takes the one that ends at
 * `caret`, the caret after the edit: there somebody typed. It never cuts a character in two.
 */
export function editBetween(before: string, after: string, caret: number = after.length): TextEdit | null {
  if (before === after) return null;
  const shorter = Math.min(before.length, after.length);
  // What stands behind the caret was not touched, so it is compared first.
  const behind = Math.min(Math.max(0, after.length - caret), shorter);
  let tail = 0;
  while (tail < behind && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  let head = 0;
  while (head < shorter - tail && before[head] === after[head]) head++;
  while (tail < shorter - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  if (head > 0 && isHigh(before, head - 1)) head--;
  if (tail > 0 && isLow(before, before.length - tail)) tail--;
  return { at: head, removed: before.length - head - tail, inserted: after.slice(head, after.length - tail) };
}

/** Where a caret at `caret` stands after `edit` by somebody else: behind what was inserted before it, never moved by
 * what was inserted right at it. */
export function caretAfter(caret: number, edit: TextEdit): number {
  if (caret <= edit.at) return caret;
  if (caret >= edit.at + edit.removed) return caret + edit.inserted.length - edit.removed;
  return edit.at + edit.inserted.length;
}

/** The edits of a Yjs text event, each at its place after those before it. */
export function editsOfDelta(
  delta: readonly { retain?: number | undefined; delete?: number | undefined; insert?: unknown }[],
): TextEdit[] {
  const edits: TextEdit[] = [];
  let at = 0;
  for (const { retain, delete: removed, insert } of delta) {
    if (retain !== undefined) at += retain;
    else if (removed !== undefined) edits.push({ at, removed, inserted: "" });
    else if (insert !== undefined) {
      // What is no text, such as an embedded object, has the length of one.
      const inserted = typeof insert === "string" ? insert : "\ufffc";
      edits.push({ at, removed: 0, inserted });
      at += inserted.length;
    }
  }
  return edits;
}

/**
 * A text as a field shows it: there `\r\n` and `\r` are `\n`. So a place is not the same in both; one between `\r` and
 * `\n` is none in a field.
 */
export function asShown(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}

/** Where place `at` of a text as it is shown is in the text itself. */
export function inText(text: string, at: number): number {
  for (const { index } of text.matchAll(/\r\n/g)) {
    if (index >= at) break;
    at++;
  }
  return at;
}

/** Where place `at` of a text is in the text as it is shown. */
export function inField(text: string, at: number): number {
  return asShown(text.slice(0, at)).length;
}

function isHigh(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= 0xd800 && unit < 0xdc00;
}

function isLow(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= 0xdc00 && unit < 0xe000;
}
