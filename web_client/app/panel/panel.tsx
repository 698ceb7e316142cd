/** The panel beside the transcript: the shared document, and the timeline. */

import { useState } from "preact/hooks";
import { DocumentPane } from "./document.js";
import type { TimelineEvent } from "./events.js";
import { lazy } from "../kit/lazy.js";
import type { Shelf } from "../list/shelf.js";

const TimelinePane = lazy(() => import("./timeline.js").then((module) => module.TimelinePane));

const TABS = ["Document", "Timeline"] as const;

export function Panel({ link, shelf }: { link: readonly TimelineEvent[]; shelf: Shelf }) {
  const [tab, setTab] = useState<(typeof TABS)[number]>("Document");
  const move = (event: KeyboardEvent) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    const next = TABS[(TABS.indexOf(tab) + 1) % TABS.length]!;
    setTab(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <div class="panel">
      <div class="tabs" role="tablist" aria-label="Beside the chat" onKeyDown={move}>
        {TABS.map((name) => (
          <button
            key={name}
            id={`tab-${name}`}
            role="tab"
            aria-selected={name === tab}
            aria-controls="pane"
            tabIndex={name === tab ? 0 : -1}
            onClick={() => setTab(name)}
          >
            {name}
          </button>
        ))}
      </div>
      <div class="pane" id="pane" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {tab === "Document" ? <DocumentPane /> : <TimelinePane link={link} shelf={shelf} />}
      </div>
    </div>
  );
}
