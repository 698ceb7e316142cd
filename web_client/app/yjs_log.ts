/**
 * What Yjs logs with, which is lib0's: in its place for the console, without the colours, which half a kilobyte went to.
 *
 * Has what Yjs uses of it; a test knows. Yjs warns developers of mistakes, in English.
 */

export const [BOLD, UNBOLD, ORANGE, RED] = ["", "", "", ""];

export function print(...words: readonly unknown[]): void {
  console.log(...words);
}

export function warn(...words: readonly unknown[]): void {
  console.warn(...words);
}
