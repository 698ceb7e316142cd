/** Heard: what of a session's changes is told to whoever hears the page instead of seeing it. Pure. */

import type { Change } from "../../src/changes.js";
import type { RunView } from "../../src/runs.js";
import type { MessageView } from "../../src/transcript.js";
import { authorOf } from "../transcript/authors.js";
import { nameOf } from "../people/names.js";
import { runWords } from "../transcript/run_words.js";

/**
 * Says a thing once: that a person wrote, when their message is on the server; that a run ended or waits. An answer in
 * the making says nothing: it would with every word.
 */
export class Heard {
  /** The last place that was told of. */
  #seq: number;
  /** How each run stood when it was last heard of. */
  readonly #runs: Map<string, string>;

  /** `messages` and `runs`: those that are there already. `me`: whose own words are not told. */
  constructor(
    messages: readonly MessageView[],
    runs: readonly RunView[],
    private readonly me: string,
  ) {
    this.#seq = messages.findLast(({ seq }) => seq !== null)?.seq ?? 0;
    this.#runs = new Map(runs.map(({ id, status }) => [id, status]));
  }

  /** What to say of a change; empty for nothing. */
  words(change: Change): string {
    if (change.kind === "message") {
      const { message } = change;
      if (message.seq === null || message.seq <= this.#seq) return "";
      this.#seq = message.seq;
      const author = authorOf(message);
      return message.role === "user" && author !== this.me ? `${nameOf(author)} wrote` : "";
    }
    if (change.kind !== "run") return "";
    const { run } = change;
    const before = this.#runs.get(run.id);
    this.#runs.set(run.id, run.status);
    if (before === run.status || run.parentRun || !(run.ended || run.status === "suspended")) return "";
    return `${nameOf(run.agent)}: ${runWords(run, { asks: false, offline: false }).text}`;
  }
}
