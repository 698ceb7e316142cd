/**
 * Markdown: a message's text as nodes.
 *
 * 1. No HTML string is ever built, so nothing in a message can become markup: raw HTML shows as the text that it is.
 * 2. Links lead to http, https and mailto only. Images are shown as links: one that loads by itself tells its server
 *    who reads.
 * 3. A block is drawn again only when its text changed: of a message that streams in that is the last.
 */

import type { ComponentChildren } from "preact";
import { safeHref } from "./links.js";
import { blocksOf } from "./marks/blocks.js";
import type { Align, Block, Item, Links } from "./marks/blocks.js";
import { inlines } from "./marks/inlines.js";
import type { Inline } from "./marks/inlines.js";
import { memo } from "../kit/memo.js";

const REL = "noopener noreferrer nofollow";

export function Markdown({ text }: { text: string }) {
  const { blocks, links } = blocksOf(text);
  const leads = leadsOf(links);
  return (
    <div class="md">
      {blocks.map((block, at) => (
        <Drawn key={at} block={block} links={links} leads={leads} />
      ))}
    </div>
  );
}

interface DrawnProps {
  readonly block: Block & { readonly raw: string };
  readonly links: Links;
  readonly leads: string;
}

let known = "";

/** Where links lead, in one text. Twice the same is the same object: comparing it costs nothing, for any block. */
function leadsOf(links: Links): string {
  if (links.size === 0) return "";
  const leads = String([...links]);
  return leads === known ? known : (known = leads);
}

// Invariant 3. A line elsewhere may say where a link in this block leads.
const Drawn = memo(
  ({ block, links }: DrawnProps) => drawn(block, links),
  (one, other) => one.block.raw === other.block.raw && one.leads === other.leads,
);

function drawn(block: Block, links: Links): ComponentChildren {
  const line = (text: string) => nodes(inlines(text, links));
  switch (block.type) {
    case "paragraph":
      return <p>{line(block.text)}</p>;
    case "heading": {
      // The page has the first and the second level.
      const Heading = `h${Math.min(block.level + 2, 6)}` as "h3";
      return <Heading>{line(block.text)}</Heading>;
    }
    case "quote":
      return <blockquote>{block.blocks.map((inner) => drawn(inner, links))}</blockquote>;
    case "list": {
      const items = block.items.map((item) => listed(item, block.tight, links));
      return block.start === null ? <ul>{items}</ul> : <ol start={block.start}>{items}</ol>;
    }
    case "code":
      // It scrolls sideways, so the keyboard must reach it.
      return (
        <pre tabIndex={0} data-lang={block.language || undefined}>
          <code>{block.text}</code>
        </pre>
      );
    case "table":
      return (
        <div class="wide" tabIndex={0}>
          <table>
            <thead>{row(block.head, "th", block.align, line)}</thead>
            <tbody>{block.rows.map((cells) => row(cells, "td", block.align, line))}</tbody>
          </table>
        </div>
      );
    case "rule":
      return <hr />;
  }
}

function listed({ done, blocks }: Item, tight: boolean, links: Links): ComponentChildren {
  return (
    <li class={done === null ? undefined : "task"}>
      {done !== null && <input type="checkbox" checked={done} disabled aria-label="to do" />}
      {blocks.map((block) =>
        tight && block.type === "paragraph" ? nodes(inlines(block.text, links)) : drawn(block, links),
      )}
    </li>
  );
}

function row(
  cells: readonly string[],
  Cell: "th" | "td",
  align: readonly Align[],
  line: (text: string) => ComponentChildren,
): ComponentChildren {
  return (
    <tr>
      {cells.map((cell, at) => (
        <Cell key={at} class={align[at] ? `to-${align[at]}` : undefined}>
          {line(cell)}
        </Cell>
      ))}
    </tr>
  );
}

function nodes(all: readonly Inline[]): ComponentChildren {
  return all.map((inline) => {
    if (typeof inline === "string") return inline;
    switch (inline.type) {
      case "strong":
        return <strong>{nodes(inline.nodes)}</strong>;
      case "em":
        return <em>{nodes(inline.nodes)}</em>;
      case "del":
        return <del>{nodes(inline.nodes)}</del>;
      case "code":
        return <code>{inline.text}</code>;
      case "break":
        return <br />;
      case "link":
        return link(inline.href, nodes(inline.nodes));
    }
  });
}

function link(href: string, children: ComponentChildren): ComponentChildren {
  const safe = safeHref(href);
  if (safe === undefined) return <span>{children}</span>;
  return (
    <a href={safe} target="_blank" rel={REL}>
      {children}
    </a>
  );
}
