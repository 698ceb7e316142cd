/**
 * Blocks: a Markdown text cut into paragraphs, lists, tables and the like; what stands in their lines is `inlines`'.
 *
 * Of our own: the smallest parser that makes a tree, and no HTML string, would be a seventh of all that the console
 * loads. It goes by CommonMark 0.31 and GitHub's tables, tasks and strikethrough; HTML is text. Tests hold it against
 * another parser. Knows nothing of how a block is drawn.
 *
 * 1. Every text is some tree: nothing in it is an error, also while its end has not come yet.
 * 2. The time it takes grows with the text, and the tree is at most `DEPTH_MAX` deep, whatever the text is.
 */

export type Align = "left" | "right" | "center" | null;

export interface Item {
  /** Whether it is ticked; null for an item that is no task. */
  readonly done: boolean | null;
  readonly blocks: readonly Block[];
}

/** `text` is what `inlines` reads. */
export type Block =
  | { readonly type: "paragraph"; readonly text: string }
  | { readonly type: "heading"; readonly level: number; readonly text: string }
  | { readonly type: "code"; readonly language: string; readonly text: string }
  | { readonly type: "quote"; readonly blocks: readonly Block[] }
  /** `start` is null for one without numbers; items of a `tight` one stand close together. */
  | { readonly type: "list"; readonly start: number | null; readonly tight: boolean; readonly items: readonly Item[] }
  | {
      readonly type: "table";
      readonly align: readonly Align[];
      readonly head: readonly string[];
      readonly rows: readonly (readonly string[])[];
    }
  | { readonly type: "rule" };

/** Where links lead that are only named in the text, by the folded name. */
export type Links = ReadonlyMap<string, string>;

export interface Blocks {
  /** With the lines that each was made of. */
  readonly blocks: readonly (Block & { readonly raw: string })[];
  readonly links: Links;
}

const DEPTH_MAX = 16;

const FENCE = /^ {0,3}(`{3,}(?=[^`]*$)|~{3,})[ \t]*(.*)$/;
const HEADING = /^ {0,3}(#{1,6})(?=[ \t]|$)/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}>[ \t]?/;
const MARKER = /^( {0,3})([-+*]|\d{1,9}[.)])(?=[ \t]|$)/;
// Two dashes at least: one is the beginning of a list that still comes in.
const UNDERLINE = /^ {0,3}(=+|--+)[ \t]*$/;
const DELIMITERS = /^\|?[ \t]*:?-+:?(?:[ \t]*\|[ \t]*:?-+:?)*(?:[ \t]*\|)?$/;
const LINK =
  /^ {0,3}\[((?:[^[\]\\]|\\.){1,999})\]:[ \t]*(?:<([^<>]*)>|(\S+))(?:[ \t]+(?:"[^"]*"|'[^']*'|\([^()]*\)))?[ \t]*$/;
const TASK = /^\[([ xX])\][ \t]+(?=\S)/;

/** Read a text. */
export function blocksOf(text: string): Blocks {
  const links = new Map<string, string>();
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const parser = new Parser(lines, 0, links);
  const blocks: (Block & { raw: string })[] = [];
  for (let block; (block = parser.next()) !== null;) {
    blocks.push({ ...block, raw: lines.slice(parser.from, parser.at).join("\n") });
  }
  return { blocks, links };
}

/** The name of a link as it is compared. */
export function folded(name: string): string {
  return name.trim().replace(/\s+/g, " ").toLowerCase();
}

function isBlank(line: string | undefined): boolean {
  return line === undefined || line.trim() === "";
}

/** How far a line is indented: a tab goes to the next multiple of four. */
function indentOf(line: string): number {
  let columns = 0;
  for (const unit of line) {
    if (unit === " ") columns++;
    else if (unit === "\t") columns += 4 - (columns % 4);
    else break;
  }
  return columns;
}

/** A line without its first `columns` of indentation. */
function outdented(line: string, columns: number): string {
  let at = 0;
  let column = 0;
  for (; column < columns && at < line.length; at++) {
    if (line[at] === " ") column++;
    else if (line[at] === "\t") column += 4 - (column % 4);
    else break;
  }
  return " ".repeat(Math.max(0, column - columns)) + line.slice(at);
}

class Parser {
  /** The next line, and the first one of the last block. */
  at = 0;
  from = 0;
  /** Whether there were blank lines between two blocks. */
  gaps = false;

  constructor(
    private readonly lines: readonly string[],
    private readonly depth: number,
    private readonly links: Map<string, string>,
  ) {}

  /** The next block, null at the end. */
  next(): Block | null {
    for (;;) {
      while (this.at < this.lines.length && isBlank(this.lines[this.at])) this.at++;
      const line = this.lines[this.at];
      if (line === undefined) return null;
      this.gaps ||= this.at > 0 && isBlank(this.lines[this.at - 1]);
      this.from = this.at;
      if (!this.#link(line)) return this.#block(line);
    }
  }

  all(): Block[] {
    const blocks: Block[] = [];
    for (let block; (block = this.next()) !== null;) blocks.push(block);
    return blocks;
  }

  #block(line: string): Block {
    if (indentOf(line) >= 4) return this.#indented();
    const fence = FENCE.exec(line);
    if (fence !== null) return this.#fenced(fence[1]!, fence[2]!, indentOf(line));
    const heading = HEADING.exec(line);
    if (heading !== null) {
      this.at++;
      return { type: "heading", level: heading[1]!.length, text: headline(line.slice(heading[0].length)) };
    }
    if (RULE.test(line)) {
      this.at++;
      return { type: "rule" };
    }
    if (this.depth < DEPTH_MAX) {
      if (QUOTE.test(line)) return this.#quote();
      const marker = MARKER.exec(line);
      if (marker !== null) return this.#list(marker);
    }
    return this.#table() ?? this.#paragraph();
  }

  /** Whether a line says where named links lead. */
  #link(line: string): boolean {
    const found = LINK.exec(line);
    if (found === null) return false;
    const name = folded(found[1]!);
    if (name === "") return false;
    if (!this.links.has(name)) this.links.set(name, found[2] ?? found[3]!);
    this.at++;
    return true;
  }

  /** Whether a block begins here that ends a paragraph. */
  #interrupts(line: string): boolean {
    if (indentOf(line) >= 4) return false;
    if (FENCE.test(line) || HEADING.test(line) || RULE.test(line)) return true;
    if (this.depth >= DEPTH_MAX) return false;
    const marker = MARKER.exec(line);
    // A number at the beginning of a line is mostly part of a sentence.
    const begins = marker !== null && !isBlank(line.slice(marker[0].length)) && /^(?:[-+*]|1[.)])$/.test(marker[2]!);
    return begins || QUOTE.test(line);
  }

  #indented(): Block {
    const found: string[] = [];
    for (; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at]!;
      if (!isBlank(line) && indentOf(line) < 4) break;
      found.push(outdented(line, 4));
    }
    while (isBlank(found.at(-1))) found.pop();
    return { type: "code", language: "", text: found.join("\n") };
  }

  #fenced(fence: string, info: string, indent: number): Block {
    const found: string[] = [];
    for (this.at++; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at]!;
      const end = line.trim();
      if (end.length >= fence.length && indentOf(line) < 4 && end === fence[0]!.repeat(end.length)) {
        this.at++;
        break;
      }
      found.push(outdented(line, indent));
    }
    return { type: "code", language: /^\S*/.exec(info)![0], text: found.join("\n") };
  }

  #quote(): Block {
    const found: string[] = [];
    for (; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at]!;
      if (QUOTE.test(line)) found.push(line.replace(QUOTE, ""));
      else if (this.#goesOn(line, found.at(-1)!)) found.push(line);
      else break;
    }
    return { type: "quote", blocks: this.#inside(found) };
  }

  /** Whether a line without a block's mark goes on with the paragraph that ends with `before`. */
  #goesOn(line: string, before: string): boolean {
    if (isBlank(line) || isBlank(before) || this.#interrupts(line) || MARKER.test(line)) return false;
    return !FENCE.test(before) && !HEADING.test(before) && !RULE.test(before) && indentOf(before) < 4;
  }

  #list([, , first]: RegExpExecArray): Block {
    const kind = first!.at(-1)!;
    const items: Item[] = [];
    let tight = true;
    while (this.at < this.lines.length) {
      const line = this.lines[this.at]!;
      const marker = MARKER.exec(line);
      if (marker === null || marker[2]!.at(-1) !== kind || RULE.test(line)) break;
      const lines = this.#item(marker[0].length);
      const blanks = isBlank(lines.at(-1)) && lines.length > 1;
      while (lines.length > 1 && isBlank(lines.at(-1))) lines.pop();
      const inside = new Parser(lines, this.depth + 1, this.links);
      items.push(itemOf(inside.all()));
      if (inside.gaps || (blanks && MARKER.exec(this.lines[this.at] ?? "")?.[2]!.at(-1) === kind)) tight = false;
    }
    return { type: "list", start: first!.length > 1 ? Number.parseInt(first!, 10) : null, tight, items };
  }

  /** The lines of an item, whose marker ends at `end`, without its indentation. */
  #item(end: number): string[] {
    const rest = this.lines[this.at++]!.slice(end);
    const space = indentOf(rest);
    const indent = end + (isBlank(rest) || space > 4 ? 1 : space);
    const found = [isBlank(rest) ? "" : outdented(rest, indent - end)];
    let ends = false;
    for (; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at]!;
      if (isBlank(line)) {
        // One that begins with a blank line has nothing behind a second one.
        ends ||= found.length === 1 && found[0] === "";
        found.push("");
      } else if (ends) {
        break;
      } else if (indentOf(line) >= indent) found.push(outdented(line, indent));
      else if (this.#goesOn(line, found.at(-1)!)) found.push(line);
      else break;
    }
    return found;
  }

  #table(): Block | null {
    if (!this.#isTable()) return null;
    const head = cellsOf(this.lines[this.at]!);
    const align = cellsOf(this.lines[this.at + 1]!).map(alignOf);
    const rows: string[][] = [];
    for (this.at += 2; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at]!;
      if (isBlank(line) || this.#interrupts(line)) break;
      // A short line is not filled up: under a wide head that would be as many cells as no text has.
      rows.push(cellsOf(line).slice(0, head.length));
    }
    return { type: "table", align, head, rows };
  }

  #isTable(): boolean {
    const [head = "", line = ""] = [this.lines[this.at], this.lines[this.at + 1]];
    if (!head.includes("|") || !DELIMITERS.test(line.trim())) return false;
    return cellsOf(head).length === cellsOf(line).length;
  }

  #paragraph(): Block {
    const found = [this.lines[this.at++]!];
    for (; this.at < this.lines.length; this.at++) {
      const line = this.lines[this.at]!;
      const underline = UNDERLINE.exec(line);
      if (underline !== null) {
        this.at++;
        return { type: "heading", level: underline[1]!.startsWith("=") ? 1 : 2, text: found.join("\n") };
      }
      if (isBlank(line) || this.#interrupts(line) || this.#isTable()) break;
      found.push(line);
    }
    return { type: "paragraph", text: found.join("\n") };
  }

  #inside(lines: readonly string[]): Block[] {
    return new Parser(lines, this.depth + 1, this.links).all();
  }
}

/** An item of these blocks: one whose first line begins with a box is a task. */
function itemOf(blocks: Block[]): Item {
  const first = blocks[0];
  const task = first?.type === "paragraph" ? TASK.exec(first.text) : null;
  if (first?.type !== "paragraph" || task === null) return { done: null, blocks };
  const text = first.text.slice(task[0].length);
  return { done: task[1] !== " ", blocks: [{ type: "paragraph", text }, ...blocks.slice(1)] };
}

/** What a heading says: marks at its end, which mirror those at its beginning, are none of it. */
function headline(text: string): string {
  const line = text.trim();
  let end = line.length;
  while (line[end - 1] === "#") end--;
  return end === 0 ? "" : /[ \t]/.test(line[end - 1]!) ? line.slice(0, end).trimEnd() : line;
}

/** The cells of a table's line. */
function cellsOf(line: string): string[] {
  const cells = [""];
  for (const [piece] of line.trim().matchAll(/\\.|\||[^\\|]+|\\/g)) {
    if (piece === "|") cells.push("");
    else cells[cells.length - 1] += piece === "\\|" ? "|" : piece;
  }
  if (cells[0]!.trim() === "") cells.shift();
  if (cells.length > 1 && cells.at(-1)!.trim() === "") cells.pop();
  return cells.map((cell) => cell.trim());
}

function alignOf(cell: string): Align {
  const right = cell.endsWith(":");
  return cell.startsWith(":") ? (right ? "center" : "left") : right ? "right" : null;
}
