/** Marks: the tree of a Markdown text, held against another parser's, and against texts that mean no good. */

import { describe, expect, it } from "vitest";
import { blocksOf, type Block } from "../../app/transcript/marks/blocks.js";
import { inlines, type Inline } from "../../app/transcript/marks/inlines.js";
import { Random } from "../random.js";
import { others, ours } from "./other_markdown.js";

const ANSWERS = [
  "# Lisbon\n\nTwo days, **slowly**. _Mother_ does not walk far, so:\n- take the tram\n- sit in the shade\n  - at noon\n  - and at four\n\n1. one\n2. two\n\n   still two\n3. three\n",
  "Here is the code:\n```python\ndef f(x):\n    return x ** 2  # *not* emphasis\n\n\nprint(f(2))\n```\nand `inline`, ``with ` inside``.",
  "| what | price |\n|:-----|------:|\n| tram | 3 € |\n| **taxi** | `12 | 13` € |\n| a \\| b | |\n\nafter",
  "> quoted\nlazily\n> > twice\n\n> - a list\n>   in it\n\n---\n\nA title\n=======\n\nAnother\n-------\n",
  "- [ ] book\n- [x] pay\n- not a task\n\n* loose\n\n* list\n\n  with a paragraph\n",
  'See [the map](https://example.com/a_(b)?c=d "title"), <https://example.com/e>, https://example.com/f_g, (www.example.com/h), me@example.com and ![a cat](https://example.com/cat.png).',
  "A [named link][map], [map] and [none][nowhere].\n\n[map]: https://example.com/map 'The map'\n",
  "***both*** **bold *and* more** *a **b** c* snake_case_word 2 * 3 * 4 ~~gone~~ ~~not **really**~~ a*b*c _a_b_ __init__.py",
  "Entities &amp; &lt;tags&gt; &copy; \\*escaped\\* \\[not\\](a link) <b>raw</b>\nand a break  \nand another\\\nend",
  "    indented code\n\n\tand with a tab\n\ntext\n\n~~~\nother fence\n```\n~~~\n",
  "10. ten\n11. eleven\n\n- a\n\n      code in an item\n- b\n  > a quote in an item\n\n+ another list\n",
  "Done ✅ **强调**。 emoji 🎉 *ünïcode* – “quotes”\n\n* * *\n\n#not a heading\n\n####### nor this\n",
];

describe("what agents write", () => {
  it.each(ANSWERS)("is the tree that another parser makes of it: %j", (answer) => {
    expect(ours(answer)).toEqual(others(answer));
  });

  it("is so whatever stands beside each other", () => {
    const pieces = [
      ["word ", "more, and more. ", "**bold** ", "*em* ", "_em_ ", "~~gone~~ ", "`code` ", "``a ` b`` ", "a_b_c "],
      ["**", "*", "_", "`", "[", "] ", "a <b> ", "&lt; ", "\\* ", "(x) ", "2 * 3 ", "https://a.b/c?d=e. "],
      ["[a](http://x.y/z) ", "![i](http://x.y/z.png) ", "<http://x.y> ", "me@x.org "],
      ["\n", "\n\n", "\n- an item ", "\n  - a sub-item ", "\n1. one ", "\n2. two ", "\n\n> ", "\n# ", "\n## "],
      ["\n\n---\n\n", "\n```\n", "\n\n    ", "\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\n\n", "\n\n- [ ] ", "\n\n- [x] "],
    ].flat();
    const random = new Random(11);
    for (let count = 0; count < 1_000; count++) {
      const text = `${Array.from({ length: 2 + random.below(9) }, () => random.pick(pieces)).join("")}end.`;
      expect(ours(text), JSON.stringify(text)).toEqual(others(text));
    }
  });

  it("is a tree in every state of coming in, whose blocks hold all lines", () => {
    for (const answer of ANSWERS) {
      for (let end = 0; end <= answer.length; end++) {
        const { blocks, links } = blocksOf(answer.slice(0, end));
        const lines = blocks
          .map((block) => block.raw)
          .join("\n")
          .split("\n")
          .filter((line) => line.trim() !== "");
        const all = answer
          .slice(0, end)
          .split("\n")
          .filter((line) => line.trim() !== "");
        expect(lines.length + links.size).toBe(all.length);
        for (const block of blocks) if (block.type === "paragraph") inlines(block.text, links);
      }
    }
  });

  it("is code from its fence on, before the other one came", () => {
    expect(ours("```js\nlet x")).toEqual([["code js", "let x"]]);
  });

  it("makes no heading of a line because a list begins below it", () => {
    expect(ours("Three things:\n-")).toEqual([["p", "Three things:", ["br"], "-"]]);
  });
});

describe("a text that means no good", () => {
  const LONG = 100_000;
  const PIECES = [
    [
      "*",
      "**a ",
      "_a ",
      "*a _b ",
      "a**b",
      "~~a ",
      "*a b_ ",
      "~~a b** ",
      "`",
      "`` ` ",
      "[",
      "![",
      "[a](",
      "[a](b ",
      "[a](<b",
      '[a](b "',
    ],
    ["](", "]", "\\", "<", "<a:", "a@", "@", "a.", "http://(", "www.", "https://a)", "&", "&lt;", " ", "\t", "\n"],
    ["> ", "- ", "1. ", "#", "# ", "#  #", "=", "-", "--- ", "|", "| a ", "|-", "a|b\n-|-\n", "```\n", "~~~ `", "> - "],
    ["[a]: b\n", "[x]\n", "*[a](b)", "[a](b)[", "a\n\n", "- a\n\n", "- a\n  ", "> - 1. a\n", "&lt;`a`"],
    [`|${"a|".repeat(400)}\n|${"-|".repeat(400)}\n${"|\n".repeat(1_200)}`, "|a|b|\n|-|-|\n||\n"],
  ].flat();
  /** One many times, and then the other. */
  const PAIRS: (readonly [string, string])[] = [
    ["[", "]"],
    ["![", "a](b) c"],
    ["*a ", "a* "],
    ["*a _b ~~c ", "a* b_ c~~ "],
  ];
  const ALL = [...PIECES.map((piece) => [piece, ""] as const), ...PAIRS].map(([one, other]) => {
    const times = Math.ceil(LONG / (one + other).length);
    return { one, other, text: one.repeat(times) + other.repeat(times) };
  });

  it.each(ALL)("makes a tree no larger than its length says: $one, then $other, again and again", ({ text }) => {
    for (const long of [text, `[x]: y\n\n${text}`, `a${text}x`]) expect(sizeOf(long)).toBeLessThan(2.5 * long.length);
  });

  it.each(ALL)("takes no longer than its length: $one, then $other, again and again", ({ text }) => {
    for (const long of [text, `[x]: y\n\n${text}`, `a${text}x`]) {
      const began = process.cpuUsage();
      const { blocks, links } = blocksOf(long);
      for (const each of textsOf(blocks)) inlines(each, links);
      const { user, system } = process.cpuUsage(began);
      expect((user + system) / 1_000, "processor time, ms").toBeLessThan(3_000);
    }
  });

  it.each(["> ", "- ", "> - 1. "])("is nested only so deep: %j", (piece) => {
    expect(depthOf(blocksOf(piece.repeat(1_000)).blocks)).toBeLessThan(40);
  });

  it.each(["*a ", "**a _b ", "![a "])("has emphasis and links only so deep: %j", (piece) => {
    const close = piece.startsWith("!") ? "](x)" : piece.includes("_") ? "_**" : "*";
    const text = piece.repeat(1_000) + close.repeat(1_000);
    expect(inlineDepth(inlines(text, new Map()))).toBeLessThan(40);
  });
});

/** How much is drawn of a text: nodes, and the characters in them. */
function sizeOf(text: string): number {
  const { blocks, links } = blocksOf(text);
  const inlineSize = (node: Inline): number => {
    if (typeof node === "string") return 1 + node.length;
    if (node.type === "code") return 1 + node.text.length;
    return "nodes" in node ? node.nodes.reduce((sum, inner) => sum + inlineSize(inner), 1) : 1;
  };
  const line = (each: string) => inlines(each, links).reduce((sum, node) => sum + inlineSize(node), 1);
  const row = (cells: readonly string[]) => cells.reduce((sum, cell) => sum + line(cell), 1);
  const all = (some: readonly Block[]): number => some.reduce((sum, block) => sum + size(block), 1);
  const size = (block: Block): number => {
    if (block.type === "rule") return 1;
    if (block.type === "code") return 1 + block.text.length;
    if (block.type === "quote") return all(block.blocks);
    if (block.type === "list") return block.items.reduce((sum, item) => sum + all(item.blocks), 1);
    return block.type === "table"
      ? row(block.head) + block.rows.reduce((s, cells) => s + row(cells), 1)
      : line(block.text);
  };
  return all(blocks);
}

function textsOf(blocks: readonly Block[]): string[] {
  return blocks.flatMap((block) => {
    if (block.type === "paragraph" || block.type === "heading") return [block.text];
    if (block.type === "quote") return textsOf(block.blocks);
    if (block.type === "list") return block.items.flatMap((item) => textsOf(item.blocks));
    return block.type === "table" ? [...block.head, ...block.rows.flat()] : [];
  });
}

function depthOf(blocks: readonly Block[]): number {
  const depths = blocks.map((block) => {
    if (block.type === "quote") return depthOf(block.blocks);
    return block.type === "list" ? Math.max(...block.items.map((item) => depthOf(item.blocks))) : 0;
  });
  return 1 + Math.max(0, ...depths);
}

function inlineDepth(nodes: readonly Inline[]): number {
  return (
    1 + Math.max(0, ...nodes.map((node) => (typeof node === "object" && "nodes" in node ? inlineDepth(node.nodes) : 0)))
  );
}
