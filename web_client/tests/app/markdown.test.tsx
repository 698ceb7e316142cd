/** Markdown: what a text becomes, and what it never becomes. */

import { Component, Fragment, type VNode } from "preact";
import { expect, test, vi } from "vitest";
import { unescapeEntities } from "../../app/transcript/marks/entities.js";
import { safeHref } from "../../app/transcript/links.js";
import { Markdown } from "../../app/transcript/markdown.js";
import { ATTACKS } from "./attacks.js";

interface Element {
  readonly type: string;
  readonly props: { readonly [name: string]: unknown };
}

/** Everything that a tree of nodes would put into a page: elements, and texts. */
function drawn(node: unknown, found: { elements: Element[]; text: string } = { elements: [], text: "" }) {
  if (Array.isArray(node)) for (const child of node) drawn(child, found);
  else if (typeof node === "string" || typeof node === "number") found.text += node;
  else if (typeof node === "object" && node !== null) {
    const { type, props } = node as VNode<{ [name: string]: unknown }>;
    if (typeof type === "string") {
      found.elements.push({ type, props });
      drawn(props["children"], found);
    } else if (type === Fragment) drawn(props["children"], found);
    else if (type.prototype instanceof Component) {
      const Made = type as unknown as new (props: object) => Component;
      const made = new Made(props);
      made.props = props;
      drawn(made.render(props, {}), found);
    } else drawn((type as (props: object) => unknown)(props), found);
  }
  return found;
}

const drawnText = (text: string) => drawn(<Markdown text={text} />);
const types = (text: string) => drawnText(text).elements.map((element) => element.type);

const ALLOWED = new Set(
  "div p h3 h4 h5 h6 blockquote ul ol li pre code table thead tbody tr th td hr strong em del br a span input".split(
    " ",
  ),
);
const PROPS = new Set([
  "children",
  "class",
  "href",
  "target",
  "rel",
  "start",
  "tabIndex",
  "data-lang",
  "type",
  "checked",
  "disabled",
  "aria-label",
]);

test.each(ATTACKS)("no attack becomes an element, an attribute or a link that does harm: %s", (attack) => {
  for (const text of [attack, `**${attack}**`, `- ${attack}\n- x`, `> ${attack}`, `| a |\n|--|\n| ${attack} |`]) {
    for (const { type, props } of drawnText(text).elements) {
      expect(ALLOWED).toContain(type);
      for (const name of Object.keys(props)) expect(PROPS).toContain(name);
      if (type === "a") expect(String(props["href"])).toMatch(/^(https?|mailto):/);
      if (type === "input") expect(props["type"]).toBe("checkbox");
    }
  }
});

test("raw HTML shows as the text that it is", () => {
  expect(drawnText("<b>bold</b> and <img src=x>").text).toContain("<b>bold</b> and <img src=x>");
});

test("what people write is drawn: marks, lists, tables, code, tasks", () => {
  expect(types("**a** *b* ~~c~~ `d`")).toEqual(["div", "p", "strong", "em", "del", "code"]);
  expect(types("1. a\n2. b")).toContain("ol");
  expect(types("| a | b |\n|:--|--:|\n| 1 | 2 |")).toEqual(expect.arrayContaining(["table", "th", "td"]));
  expect(drawnText("| a |\n|--:|\n| 1 |").elements.find(({ type }) => type === "td")?.props["class"]).toBe("to-right");
  expect(drawnText("```py\nx = 1\n```").elements.find(({ type }) => type === "pre")?.props["data-lang"]).toBe("py");
  const boxes = drawnText("- [x] done\n- [ ] not").elements.filter(({ type }) => type === "input");
  expect(boxes.map((box) => box.props["checked"])).toEqual([true, false]);
});

test("headings begin below those of the page", () => {
  expect(types("# a")).toContain("h3");
  expect(types("###### a")).toContain("h6");
});

test("a link says nothing of where it was followed from", () => {
  const link = drawnText("[a](https://example.com/b)").elements.find(({ type }) => type === "a");
  expect(link?.props).toMatchObject({ href: "https://example.com/b", rel: "noopener noreferrer nofollow" });
});

test("an image is a link, never loaded by itself", () => {
  const { elements, text } = drawnText("![a cat](https://example.com/cat.png)");
  expect(elements.some(({ type }) => type === "img")).toBe(false);
  expect(text).toBe("a cat");
});

test("links lead to the web and to mail alone", () => {
  expect(safeHref("https://example.com")).toBe("https://example.com/");
  expect(safeHref("mailto:a@b.c")).toBe("mailto:a@b.c");
  for (const href of [
    "javascript:alert(1)",
    " java\nscript:alert(1)",
    "data:text/html,x",
    "//host",
    "/v1/tokens",
    "",
    "vbscript:x",
  ]) {
    expect(safeHref(href)).toBeUndefined();
  }
});

test("entities are characters in a text, and the text stays a text", () => {
  expect(unescapeEntities("a &lt;b&gt; &amp;amp; &#39; &#x1f600; &nosuch; &#0; &#xd800;")).toBe(
    "a <b> &amp; ' \u{1f600} &nosuch; \ufffd \ufffd",
  );
  expect(drawnText("&lt;script&gt;alert(1)&lt;/script&gt;").text).toBe("<script>alert(1)</script>");
  expect(drawnText("`&lt;`").text).toBe("&lt;");
});

test("a name of Object's is no entity", () => {
  expect(unescapeEntities("&toString;")).toBe("&toString;");
});

test("where links lead is gone through once for a whole text, however many blocks it has", () => {
  const text = `${Array.from({ length: 100 }, (_, at) => `[${at}]: https://example.com/${at}\n`).join("")}\n${"a\n\n".repeat(100)}`;
  const blocksOf = (drawing: string) => {
    const { children } = (Markdown({ text: drawing }) as VNode<{ children: VNode<object>[] }>).props;
    return children.map(({ type, props }) => {
      const Made = type as unknown as new () => Component<object>;
      return Object.assign(new Made(), { props });
    });
  };
  const walked = vi.spyOn(Map.prototype, Symbol.iterator);
  const again = (before: Component[], after: Component[]) =>
    before.filter((block, at) => block.shouldComponentUpdate!(after[at]!.props, {}, {})).length;
  const [first, second] = [blocksOf(text), blocksOf(text)];
  expect(again(first, second)).toBe(0);
  expect(walked.mock.calls.length).toBe(2);
  walked.mockRestore();

  // A line elsewhere says something else: all that may have named it is drawn again.
  expect(again(second, blocksOf(text.replace("example.com/7", "example.org/7")))).toBe(second.length);
});
