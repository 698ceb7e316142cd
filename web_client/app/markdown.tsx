/**
 * Markdown: a message's text as nodes.
 *
 * 1. No HTML string is ever built, so nothing in a message can become markup: raw HTML shows as the text that it is.
 * 2. Links lead to http, https and mailto only. Images are shown as links: one that loads by itself tells its server
 *    who reads.
 * 3. A block is drawn again only when its text changed: of a message that streams in that is the last.
 */

import { Lexer, type Token, type Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { Component } from "preact";
import { unescapeEntities } from "./entities.js";
import { safeHref } from "./links.js";

const REL = "noopener noreferrer nofollow";

export function Markdown({ text }: { text: string }) {
  return (
    <div class="md">
      {new Lexer({ gfm: true, breaks: true }).lex(text).map((token, at) => (
        <Block key={at} token={token} />
      ))}
    </div>
  );
}

class Block extends Component<{ token: Token }> {
  // Invariant 3. A definition elsewhere may change what a link in this block leads to; then the tokens differ too.
  override shouldComponentUpdate(next: { token: Token }): boolean {
    const { token } = this.props;
    return (
      token.raw !== next.token.raw || (token.raw.includes("[") && JSON.stringify(token) !== JSON.stringify(next.token))
    );
  }

  override render() {
    return node(this.props.token);
  }
}

function nodes(tokens: readonly Token[] | undefined): ComponentChildren {
  return tokens?.map(node);
}

/** One token as a node. Its type is marked's word: a token that is not known here shows as its text. Invariant 1. */
function node(token: Token): ComponentChildren {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "paragraph":
      return <p>{nodes(token.tokens)}</p>;
    case "heading": {
      // The page has the first and the second level.
      const Heading = `h${Math.min((token as Tokens.Heading).depth + 2, 6)}` as "h3";
      return <Heading>{nodes(token.tokens)}</Heading>;
    }
    case "blockquote":
      return <blockquote>{nodes(token.tokens)}</blockquote>;
    case "list":
      return list(token as Tokens.List);
    case "code":
      return code(token as Tokens.Code);
    case "table":
      return table(token as Tokens.Table);
    case "hr":
      return <hr />;
    case "strong":
      return <strong>{nodes(token.tokens)}</strong>;
    case "em":
      return <em>{nodes(token.tokens)}</em>;
    case "del":
      return <del>{nodes(token.tokens)}</del>;
    case "codespan":
      return <code>{(token as Tokens.Codespan).text}</code>;
    case "br":
      return <br />;
    case "link":
      return link((token as Tokens.Link).href, nodes(token.tokens));
    case "image":
      return link((token as Tokens.Image).href, (token as Tokens.Image).text || (token as Tokens.Image).href);
    case "escape":
      return (token as Tokens.Escape).text;
    case "checkbox":
      return <input type="checkbox" checked={(token as Tokens.Checkbox).checked} disabled aria-label="to do" />;
    case "text":
      return token.tokens ? nodes(token.tokens) : unescapeEntities((token as Tokens.Text).text);
    default:
      return token.raw;
  }
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

function list(token: Tokens.List): ComponentChildren {
  const items = token.items.map((item, at) => (
    <li key={at} class={item.task ? "task" : undefined}>
      {nodes(item.tokens)}
    </li>
  ));
  return token.ordered ? <ol start={Number(token.start) || 1}>{items}</ol> : <ul>{items}</ul>;
}

function code(token: Tokens.Code): ComponentChildren {
  // It scrolls sideways, so the keyboard must reach it.
  return (
    <pre tabIndex={0} data-lang={token.lang || undefined}>
      <code>{token.text}</code>
    </pre>
  );
}

function table(token: Tokens.Table): ComponentChildren {
  const row = (cells: readonly Tokens.TableCell[], Cell: "th" | "td") => (
    <tr>
      {cells.map((cell, at) => (
        <Cell key={at} class={cell.align ? `to-${cell.align}` : undefined}>
          {nodes(cell.tokens)}
        </Cell>
      ))}
    </tr>
  );
  return (
    <div class="wide" tabIndex={0}>
      <table>
        <thead>{row(token.header, "th")}</thead>
        <tbody>{token.rows.map((cells) => row(cells, "td"))}</tbody>
      </table>
    </div>
  );
}
