/** Parts: the pieces of a message, each as what it is. What is not known here is shown as it was written. */

import { memo } from "../kit/memo.js";
import type { RunView } from "../../src/runs.js";
import type { Part } from "../../src/schema.js";
import { lazy } from "../kit/lazy.js";
import { safeHref } from "./links.js";
import { shown } from "../people/names.js";
import { ToolRow } from "./tool_row.js";

/** A third of all code that a transcript needs: it comes beside the session's copy (see `opened`). */
export const Markdown = lazy(
  () => import("./markdown.js").then((module) => module.Markdown),
  ({ text }: { text: string }) => <div class="md unread">{text}</div>,
);

const Steered = lazy(() => import("./steered.js").then((module) => module.Steered));

/** `run`: whose output they are, if they are a run's; only there can a tool call be decided. */
export function Parts({ parts, run, ended }: { parts: readonly Part[]; run: RunView | null; ended: boolean }) {
  return (
    <>
      {parts.map((part, at) =>
        // What a tool row shows depends on decisions and commands too.
        part.type === "tool" ? (
          <ToolRow key={at} part={part} run={run} ended={ended} />
        ) : part.type === "steering-message" ? (
          <Steered key={at} part={part} run={run} />
        ) : (
          <Plain key={at} part={part} ended={ended} />
        ),
      )}
    </>
  );
}

const Plain = memo(function Plain({ part, ended }: { part: Part; ended: boolean }) {
  const streaming = part["state"] === "streaming" && !ended;
  switch (part.type) {
    case "text":
      return (
        <div class={streaming ? "text streaming" : "text"}>
          <Markdown text={text(part["text"])} />
        </div>
      );
    case "reasoning":
      return (
        <details class="more reasoning">
          <summary>{streaming ? "Thinking…" : "Thought"}</summary>
          <Markdown text={text(part["text"])} />
        </details>
      );
    case "source-url":
      return <Source href={text(part["url"])} title={text(part["title"])} />;
    case "file":
      return (
        <Source
          href={text(part["url"])}
          title={text(part["filename"]) || text(part["name"]) || text(part["media_type"])}
        />
      );
    case "step-start":
      return null;
    default:
      return (
        <details class="more">
          <summary>{shown(part.type)}</summary>
          <pre tabIndex={0}>{JSON.stringify(part, null, 2)}</pre>
        </details>
      );
  }
});

/** What a run was told: by whom and what says the command or the message. What the part says is its author's word. */
/** A link to what an answer rests on, or to a file: never loaded by itself. */
function Source({ href, title }: { href: string; title: string }) {
  const safe = safeHref(href);
  const name = shown(title) || shown(href) || "a file without a name";
  if (safe === undefined) return <p class="source">{name}</p>;
  return (
    <p class="source">
      <a href={safe} target="_blank" rel="noopener noreferrer nofollow">
        {name}
      </a>
    </p>
  );
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
