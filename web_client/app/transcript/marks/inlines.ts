/**
 * Inlines: what stands in a line of Markdown: emphasis, code, links. As CommonMark 0.31 says, with GitHub's
 * strikethrough and bare links; a line break is one that is seen, and HTML is text.
 *
 * 1. Every text is some tree: marks that belong to nothing are text.
 * 2. The time it takes grows with the text, and the tree is at most `DEPTH_MAX` deep, whatever the text is.
 */

import { unescapeEntities } from "./entities.js";
import { folded } from "./blocks.js";
import type { Links } from "./blocks.js";

export type Inline =
  | string
  | { readonly type: "strong" | "em" | "del"; readonly nodes: readonly Inline[]; readonly depth: number }
  | { readonly type: "code"; readonly text: string }
  | { readonly type: "link"; readonly href: string; readonly nodes: readonly Inline[]; readonly depth: number }
  | { readonly type: "break" };

/** A run of marks that may begin or end an emphasis. */
interface Run {
  readonly type: "run";
  readonly mark: string;
  /** How many there were, and how many are left. */
  readonly length: number;
  left: number;
  readonly opens: boolean;
  readonly closes: boolean;
}

type Piece = Inline | Run;

interface Bracket {
  /** Its place among the pieces. */
  readonly at: number;
  /** Where in the text its content begins. */
  readonly begin: number;
  readonly image: boolean;
}

const DEPTH_MAX = 16;

const SPECIAL = /[\\`<[\]!*_~\n@]|https?:\/\/|www\./g;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const AUTOLINK = /<(?:([a-zA-Z][a-zA-Z0-9+.-]{1,31}:[^\s<>]*)|([\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w.-]{1,255}))>/y;
const ENTITY = /&\w+;$/;
const BARE = /[^\s<]+/y;
const HOST = /(?:https?:\/\/|www\.)[\w-]+/y;
const MAIL_NAME = /[\w.+-]{1,64}$/;
const MAIL_HOST = /@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/y;
const PARENS_MAX = 32;
const NAME = /^(?:[^[\]\\]|\\[^]){1,999}$/;

/** Read what stands in lines of text. */
export function inlines(text: string, links: Links): readonly Inline[] {
  return new Reader(text.trim(), links).read();
}

class Reader {
  #at = 0;
  /** Up to where the text is in the pieces. */
  #done = 0;
  #pieces: Piece[] = [];
  #brackets: Bracket[] = [];
  /** Brackets below this one hold a link already, and so are none. */
  #inactive = 0;
  /** Where runs of backticks stand, by their lengths. */
  #ticks: Map<number, number[]> | null = null;

  constructor(
    private readonly text: string,
    private readonly links: Links,
  ) {}

  read(): readonly Inline[] {
    const { text } = this;
    for (;;) {
      SPECIAL.lastIndex = this.#at;
      const found = SPECIAL.exec(text);
      if (found === null) break;
      this.#at = found.index;
      this.#special(found[0]);
    }
    this.#plain(text.length);
    return emphasized(this.#pieces);
  }

  #special(mark: string): void {
    const { text } = this;
    switch (mark) {
      case "\\":
        return this.#escape();
      case "`":
        return this.#code();
      case "<":
        return this.#autolink();
      case "\n":
        return this.#break(this.#at);
      case "!":
        if (text[this.#at + 1] !== "[") this.#at++;
        else this.#open(true);
        return;
      case "[":
        return this.#open(false);
      case "]":
        return this.#close();
      case "@":
        return this.#mail();
      case "*":
      case "_":
      case "~":
        return this.#run(mark);
      default:
        return this.#bare();
    }
  }

  /** Text up to `end`, as it is but for entities. */
  #plain(end: number): void {
    if (end > this.#done) this.#pieces.push(unescapeEntities(this.text.slice(this.#done, end)));
    this.#done = end;
  }

  /** A piece that reaches from `from` to `to`. */
  #put(from: number, to: number, piece: Piece): void {
    this.#plain(from);
    this.#pieces.push(piece);
    this.#done = this.#at = to;
  }

  #escape(): void {
    const next = this.text[this.#at + 1] ?? "";
    if (next === "\n") this.#break(this.#at, this.#at + 1);
    else if (PUNCTUATION.test(next)) this.#put(this.#at, this.#at + 2, next);
    else this.#at++;
  }

  /** A line ends at `at`; spaces around it are not seen. */
  #break(from: number, at = from): void {
    let [begin, end] = [from, at + 1];
    while (begin > this.#done && /[ \t]/.test(this.text[begin - 1]!)) begin--;
    while (/[ \t]/.test(this.text[end] ?? "")) end++;
    this.#put(begin, end, { type: "break" });
  }

  #code(): void {
    const { text } = this;
    if (this.#ticks === null) {
      this.#ticks = new Map();
      for (const { 0: run, index } of text.matchAll(/`+/g)) {
        const known = this.#ticks.get(run.length);
        if (known === undefined) this.#ticks.set(run.length, [index]);
        else known.push(index);
      }
      for (const places of this.#ticks.values()) places.reverse();
    }
    let begin = this.#at;
    while (text[begin] === "`") begin++;
    const length = begin - this.#at;
    const places = this.#ticks.get(length) ?? [];
    while (places.length > 0 && places.at(-1)! < begin) places.pop();
    const end = places.at(-1);
    if (end === undefined) {
      this.#at = begin;
      return;
    }
    const inside = text.slice(begin, end).replaceAll("\n", " ");
    const padded = inside.startsWith(" ") && inside.endsWith(" ") && inside.trim() !== "";
    this.#put(this.#at, end + length, { type: "code", text: padded ? inside.slice(1, -1) : inside });
  }

  #autolink(): void {
    AUTOLINK.lastIndex = this.#at;
    const found = AUTOLINK.exec(this.text);
    if (found === null) {
      this.#at++;
      return;
    }
    const shown = found[1] ?? found[2]!;
    const href = found[1] ?? `mailto:${shown}`;
    this.#put(this.#at, this.#at + found[0].length, { type: "link", href, nodes: [shown], depth: 1 });
  }

  /** An address as it is written, without the punctuation that ends its sentence. */
  #bare(): void {
    const { text } = this;
    const at = this.#at;
    HOST.lastIndex = BARE.lastIndex = at;
    if (/[a-zA-Z0-9/]/.test(text[at - 1] ?? "") || !HOST.test(text)) {
      this.#at++;
      return;
    }
    const [all] = BARE.exec(text)!;
    let parens = 0;
    for (const unit of all) parens += unit === "(" ? 1 : unit === ")" ? -1 : 0;
    let end = all.length;
    for (; /[?!.,:;*_~'"\])]/.test(all[end - 1]!); end--) {
      if (all[end - 1] === ")" && ++parens > 0) break;
      const entity = all[end - 1] === ";" ? ENTITY.exec(all.slice(Math.max(0, end - 12), end)) : null;
      if (entity !== null) end -= entity[0].length - 1;
    }
    const shown = unescapeEntities(all.slice(0, end));
    const href = shown.startsWith("www.") ? `http://${shown}` : shown;
    this.#put(at, at + end, { type: "link", href, nodes: [shown], depth: 1 });
  }

  #mail(): void {
    const before = this.text.slice(Math.max(this.#done, this.#at - 64), this.#at);
    const name = MAIL_NAME.exec(before)?.[0];
    MAIL_HOST.lastIndex = this.#at;
    const host = MAIL_HOST.exec(this.text)?.[0];
    if (name === undefined || host === undefined) {
      this.#at++;
      return;
    }
    const address = name + host;
    this.#put(this.#at - name.length, this.#at + host.length, {
      type: "link",
      href: `mailto:${address}`,
      nodes: [address],
      depth: 1,
    });
  }

  // Links in brackets

  #open(image: boolean): void {
    const mark = image ? "![" : "[";
    const at = this.#at;
    this.#put(at, at + mark.length, mark);
    this.#brackets.push({ at: this.#pieces.length - 1, begin: this.#at, image });
  }

  #close(): void {
    const bracket = this.#brackets.pop();
    const end = this.#at++;
    if (bracket === undefined) return;
    if (!bracket.image && this.#brackets.length < this.#inactive) {
      this.#inactive = this.#brackets.length;
      return;
    }
    this.#inactive = Math.min(this.#inactive, this.#brackets.length);
    const content = this.text.slice(bracket.begin, end);
    const target = this.#target() ?? this.#named(content);
    if (target === null) return;
    this.#plain(end);
    const inside = emphasized(this.#pieces.splice(bracket.at).slice(1));
    const href = unescapeEntities(target.href.replace(/\\([!-/:-@[-`{-~])/g, "$1"));
    const nodes = bracket.image ? [textOf(inside) || href] : inside;
    this.#pieces.push({ type: "link", href, nodes, depth: 1 + depthOf(nodes) });
    this.#done = this.#at = target.end;
    // A link holds no other.
    if (!bracket.image) this.#inactive = this.#brackets.length;
  }

  /** Where a link leads that says so in parentheses behind it. */
  #target(): { href: string; end: number } | null {
    const { text } = this;
    let at = this.#at;
    if (text[at++] !== "(") return null;
    const skip = (): void => {
      while (/\s/.test(text[at] ?? "")) at++;
    };
    skip();
    let from = at;
    let to: number;
    if (text[at] === "<") {
      from++;
      do at++;
      while (at < text.length && !/[<>\n]/.test(text[at]!));
      if (text[at] !== ">") return null;
      to = at++;
    } else {
      for (let parens = 0; at < text.length && !/\s/.test(text[at]!); at++) {
        if (text[at] === "\\") at++;
        else if (text[at] === "(" && ++parens > PARENS_MAX) return null;
        else if (text[at] === ")" && --parens < 0) break;
      }
      to = at;
    }
    const before = at;
    skip();
    const quote = text[at] ?? "";
    if (at > before && /["'(]/.test(quote)) {
      do at++;
      while (at < text.length && text[at] !== (quote === "(" ? ")" : quote) && !(quote === "(" && text[at] === "("));
      at++;
      skip();
    }
    return text[at] === ")" ? { href: text.slice(from, to), end: at + 1 } : null;
  }

  /** Where a link leads that names what the text says elsewhere. */
  #named(content: string): { href: string; end: number } | null {
    if (this.links.size === 0) return null;
    const found = /\[([^[\]]{0,999})\]/y;
    found.lastIndex = this.#at;
    const name = found.exec(this.text);
    // A name holds no brackets: else of brackets in brackets all would be read again for each.
    if (!name?.[1] && !NAME.test(content)) return null;
    const href = this.links.get(folded(name?.[1] || content));
    return href === undefined ? null : { href, end: this.#at + (name?.[0].length ?? 0) };
  }

  // Emphasis

  #run(mark: string): void {
    const { text } = this;
    let end = this.#at;
    while (text[end] === mark) end++;
    const length = end - this.#at;
    const before = text.slice(Math.max(0, this.#at - 2), this.#at);
    const after = text.slice(end, end + 2);
    const [spaceBefore, spaceAfter] = [/^$|\s$/.test(before), /^$|^\s/.test(after)];
    const [markBefore, markAfter] = [/[\p{P}\p{S}]$/u.test(before), /^[\p{P}\p{S}]/u.test(after)];
    const left = !spaceAfter && (!markAfter || spaceBefore || markBefore);
    const right = !spaceBefore && (!markBefore || spaceAfter || markAfter);
    const opens = left && (mark !== "_" || !right || markBefore);
    const closes = right && (mark !== "_" || !left || markAfter);
    if (mark === "~" && length > 2) this.#at = end;
    else this.#put(this.#at, end, { type: "run", mark, length, left: length, opens, closes });
  }
}

interface Level {
  /** What opened it; null for the outermost. */
  readonly run: Run | null;
  readonly nodes: Inline[];
}

/** Put emphasis in place of the runs that belong together, and text in place of the others. */
function emphasized(pieces: readonly Piece[]): readonly Inline[] {
  const levels: Level[] = [{ run: null, nodes: [] }];
  // Below this level nothing opens what such a run closes: each is looked for once. Invariant 2.
  const bottoms = new Map<string, number>();
  for (const piece of pieces) {
    if (typeof piece === "string" || piece.type !== "run") {
      levels.at(-1)!.nodes.push(piece);
      continue;
    }
    const kind = `${piece.mark}${piece.opens}${piece.length % 3}${piece.mark === "~" ? piece.length : ""}`;
    while (piece.closes && piece.left > 0) {
      const bottom = bottoms.get(kind) ?? 1;
      let at = levels.length - 1;
      while (at >= bottom && !pairs(levels[at]!.run!, piece)) at--;
      if (at < bottom) {
        bottoms.set(kind, levels.length);
        break;
      }
      if (!wrap(levels, at, piece)) {
        // Nor may any that was opened before: it would hold this one. So nothing is moved, or looked at, twice.
        fall(levels, 1);
        bottoms.clear();
        break;
      }
      for (const [each, level] of bottoms) bottoms.set(each, Math.min(level, levels.length));
    }
    if (piece.left > 0 && piece.opens) levels.push({ run: piece, nodes: [] });
    else if (piece.left > 0) levels.at(-1)!.nodes.push(piece.mark.repeat(piece.left));
  }
  fall(levels, 1);
  return levels[0]!.nodes;
}

function pairs(opener: Run, closer: Run): boolean {
  if (opener.mark !== closer.mark) return false;
  if (opener.mark === "~") return opener.length === closer.length;
  // The rule of three: which of three stars in a row belong together.
  if (!opener.closes && !closer.opens) return true;
  return (opener.length + closer.length) % 3 !== 0 || (opener.length % 3 === 0 && closer.length % 3 === 0);
}

/** Make one node of all that was opened since level `at`, up to `closer`. Whether it may: not if it is too deep. */
function wrap(levels: Level[], at: number, closer: Run): boolean {
  fall(levels, at + 1);
  const { run, nodes } = levels[at]!;
  const depth = 1 + depthOf(nodes);
  if (depth > DEPTH_MAX) return false;
  const used = closer.mark === "~" ? closer.left : Math.min(2, run!.left, closer.left);
  run!.left -= used;
  closer.left -= used;
  const type = closer.mark === "~" ? "del" : used === 2 ? "strong" : "em";
  const node: Inline = { type, nodes: nodes.splice(0), depth };
  if (run!.left > 0) nodes.push(node);
  else {
    levels.pop();
    levels.at(-1)!.nodes.push(node);
  }
  return true;
}

/** Levels from `from` on were closed by nothing: what opened them is text. */
function fall(levels: Level[], from: number): void {
  const into = levels[from - 1]!.nodes;
  for (const { run, nodes } of levels.splice(from)) {
    into.push(run!.mark.repeat(run!.left));
    for (const node of nodes) into.push(node);
  }
}

function depthOf(nodes: readonly Inline[]): number {
  return nodes.reduce((most, node) => Math.max(most, typeof node === "object" && "depth" in node ? node.depth : 0), 0);
}

/** What a reader sees of them, as text. Added up: joined, an image in an image would be copied again for each. */
function textOf(nodes: readonly Inline[]): string {
  let text = "";
  for (const node of nodes) {
    if (typeof node === "string") text += node;
    else text += node.type === "code" ? node.text : node.type === "break" ? " " : textOf(node.nodes);
  }
  return text;
}
