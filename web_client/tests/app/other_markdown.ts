/** Another Markdown parser, and this one's trees, in one form: to hold them against each other. */

import { Lexer, type Token, type Tokens } from "marked";
import { blocksOf, type Block, type Links } from "../../app/transcript/marks/blocks.js";
import { unescapeEntities } from "../../app/transcript/marks/entities.js";
import { inlines, type Inline } from "../../app/transcript/marks/inlines.js";

/** A text, or what it is called, what it leads to or the like, and what is in it. */
export type Tree = string | Node;
export interface Node extends ReadonlyArray<Tree> {}

/** What this parser makes of a text. */
export function ours(text: string): readonly Tree[] {
  const { blocks, links } = blocksOf(text);
  return blocks.map((block) => ourBlock(block, links));
}

/** What the other one makes of it. */
export function others(text: string): readonly Tree[] {
  return new Lexer({ gfm: true, breaks: true }).lex(text).flatMap(otherBlock);
}

function ourBlock(block: Block, links: Links): Tree {
  const line = (text: string) => joined(inlines(text, links).map(ourInline));
  switch (block.type) {
    case "paragraph":
      return ["p", ...line(block.text)];
    case "heading":
      return [`h${block.level}`, ...line(block.text)];
    case "code":
      return [`code ${block.language}`.trim(), block.text.trimEnd()];
    case "quote":
      return ["quote", ...block.blocks.map((inner) => ourBlock(inner, links))];
    case "list":
      return [
        block.start === null ? "ul" : `ol ${block.start}`,
        ...block.items.map(({ done, blocks }): Tree => {
          const inside = blocks.map((inner): Tree => ourBlock(inner, links));
          return [done === null ? "li" : done ? "done" : "to do", ...(block.tight ? untied(inside) : inside)];
        }),
      ];
    case "table":
      return [
        `table ${block.align.join()}`,
        ...[block.head, ...block.rows].map((row): Tree => ["row", ...row.map((cell): Tree => ["cell", ...line(cell)])]),
      ];
    case "rule":
      return ["hr"];
  }
}

/** Paragraphs of a tight list are its items' own text. */
function untied(inside: readonly Tree[]): Tree[] {
  return inside.flatMap((tree) => (typeof tree !== "string" && tree[0] === "p" ? (tree.slice(1) as Tree[]) : [tree]));
}

function ourInline(inline: Inline): Tree {
  if (typeof inline === "string") return inline;
  switch (inline.type) {
    case "code":
      return ["code", inline.text];
    case "break":
      return ["br"];
    case "link":
      return [`link ${inline.href}`, ...joined(inline.nodes.map(ourInline))];
    default:
      return [inline.type, ...joined(inline.nodes.map(ourInline))];
  }
}

function otherBlock(token: Token): Tree[] {
  switch (token.type) {
    case "space":
    case "def":
      return [];
    case "heading":
      return [[`h${(token as Tokens.Heading).depth}`, ...line(token.tokens)]];
    case "code": {
      const { lang, text } = token as Tokens.Code;
      return [[`code ${/^\S*/.exec(lang ?? "")![0]}`.trim(), text.trimEnd()]];
    }
    case "blockquote":
      return [["quote", ...(token.tokens ?? []).flatMap(otherBlock)]];
    case "list":
      return [otherList(token as Tokens.List)];
    case "table": {
      const { header, rows } = token as Tokens.Table;
      const all = [header, ...rows].map((row): Tree => [
        "row",
        ...row.map(({ tokens }): Tree => ["cell", ...line(tokens)]),
      ]);
      return [[`table ${header.map(({ align }) => align).join()}`, ...all]];
    }
    case "hr":
      return [["hr"]];
    case "html":
      return [["p", ...joined(lines(token.raw.trim()))]];
    case "paragraph":
      return [["p", ...line(token.tokens)]];
    default:
      return [["p", ...line((token as Tokens.Text).tokens ?? [token])]];
  }
}

function otherList({ ordered, start, loose, items }: Tokens.List): Tree {
  return [
    ordered ? `ol ${start}` : "ul",
    ...items.map(({ task, checked, tokens }): Tree => {
      const inside = tokens.filter(({ type }) => type !== "checkbox").flatMap(otherBlock);
      const freed = inside.map((tree) => (typeof tree === "string" ? tree : ([...tree] as unknown as Tree)));
      return [task ? (checked ? "done" : "to do") : "li", ...(loose ? freed : untied(freed))];
    }),
  ];
}

function line(tokens: readonly Token[] | undefined): Tree[] {
  return joined((tokens ?? []).flatMap(otherInline));
}

function otherInline(token: Token): Tree[] {
  switch (token.type) {
    case "strong":
    case "em":
    case "del":
      return [[token.type, ...line(token.tokens)]];
    case "codespan":
      return [["code", (token as Tokens.Codespan).text]];
    case "br":
      return [["br"]];
    case "link":
      return [[`link ${unescapeEntities((token as Tokens.Link).href)}`, ...line(token.tokens)]];
    case "image": {
      const { href, text } = token as Tokens.Image;
      return [[`link ${href}`, text || href]];
    }
    case "escape":
      return [(token as Tokens.Escape).text];
    case "checkbox":
      return [];
    case "text":
      return token.tokens ? line(token.tokens) : lines(unescapeEntities((token as Tokens.Text).text));
    default:
      return lines(token.raw);
  }
}

function lines(text: string): Tree[] {
  return text.split("\n").flatMap((each, at): Tree[] => (at === 0 ? [each] : [["br"], each]));
}

/** Texts beside each other are one; spaces at the ends of lines are not seen. */
function joined(trees: readonly Tree[]): Tree[] {
  const found: Tree[] = [];
  for (const tree of trees) {
    const last = found.at(-1);
    if (typeof tree === "string" && typeof last === "string") found[found.length - 1] = last + tree;
    else found.push(tree);
  }
  return found.flatMap((tree, at): Tree[] => {
    if (typeof tree !== "string") return [tree];
    let text = tree.replace(/\s+/g, " ");
    if (at === 0 || found[at - 1]![0] === "br") text = text.trimStart();
    if (at === found.length - 1 || found[at + 1]![0] === "br") text = text.trimEnd();
    return text === "" ? [] : [text];
  });
}
