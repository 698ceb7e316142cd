/**
 * Channel: how the tabs of one device ask the one that holds the search copy. Knows nothing of what is asked.
 *
 * A channel of the search's own: the tabs' other business does not wait for it.
 */

import { Unanswered } from "./requests.js";
import type { Ask, Holder, Reply } from "./requests.js";

type Said =
  /** This tab holds the copy, from now on or still. */
  | { readonly kind: "holder"; readonly from: string; readonly isNew: boolean }
  /** This tab does not hold the copy (any more). */
  | { readonly kind: "left"; readonly from: string }
  /** Whoever holds the copy, say so. */
  | { readonly kind: "who" }
  | { readonly kind: "ask"; readonly from: string; readonly id: number; readonly ask: Ask }
  | { readonly kind: "answer"; readonly to: string; readonly id: number; readonly reply: Reply };

export interface ChannelHost {
  /** Whether this tab holds the copy. */
  readonly holds: boolean;
  /** What this tab answers, holding the copy. Never rejects. */
  answer(ask: Ask): Promise<Reply>;
  /** Another tab holds the copy; `isNew`: it is another one than before, or the copy is empty. */
  held(isNew: boolean): void;
  /** The tab that held the copy let go of it. */
  left(): void;
}

/** An answer that did not come in time is not waited for: a tab that was killed, or is frozen, sends none. */
const DEADLINE_MS = 1500;
/** Of writes, which wait for the disk. Nobody looks on. */
const WRITE_DEADLINE_MS = 10_000;

/**
 * One tab's end of it.
 *
 * 1. Every question is answered or rejected with `gone`: in time, or when this end is closed.
 */
export class Channel implements Holder {
  /** Null in a browser that has none: this tab is on its own. */
  readonly #channel: BroadcastChannel | null = null;
  readonly #tab = Array.from(crypto.getRandomValues(new Uint32Array(3))).join("-");
  readonly #asked = new Map<number, (reply: Reply) => void>();
  /** The tab that holds the copy, as far as this one knows. */
  #holder: string | null = null;
  #ids = 0;
  #isClosed = false;

  constructor(
    name: string,
    private readonly host: ChannelHost,
  ) {
    if (typeof BroadcastChannel === "undefined") return;
    this.#channel = new BroadcastChannel(`syncd-search:${name}`);
    this.#channel.onmessage = (event: MessageEvent<Said>) => this.#hear(event.data);
  }

  /** Ask who holds the copy: `held` is called if somebody does. */
  who(): void {
    this.#post({ kind: "who" });
  }

  /** Say that this tab holds the copy. */
  announce(isNew: boolean): void {
    this.#holder = this.#tab;
    this.#post({ kind: "holder", from: this.#tab, isNew });
  }

  /** Say that this tab holds it no more. */
  leave(): void {
    if (this.#holder === this.#tab) this.#post({ kind: "left", from: this.#tab });
    this.#holder = null;
  }

  /** Ask the tab that holds the copy. Rejects with `Unanswered`. */
  ask(ask: Ask): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#ids;
      const settle = (reply: Reply) => {
        clearTimeout(timer);
        this.#asked.delete(id);
        if (reply.ok) resolve(reply.value);
        else reject(new Unanswered(reply.code, reply.reason));
      };
      const gone = () => settle({ ok: false, code: "gone", reason: "no tab answered" });
      const timer = setTimeout(gone, ask.kind === "search" ? DEADLINE_MS : WRITE_DEADLINE_MS);
      this.#asked.set(id, settle);
      this.#post({ kind: "ask", from: this.#tab, id, ask });
    });
  }

  /** Wait for no answer any more: whoever was asked does not hold the copy now. */
  abandon(): void {
    for (const settle of this.#asked.values()) settle({ ok: false, code: "moved", reason: "another tab holds it now" });
  }

  close(): void {
    this.#isClosed = true;
    this.#channel?.close();
    this.abandon(); // Invariant 1.
  }

  #hear(said: Said): void {
    switch (said.kind) {
      case "holder":
        if (this.host.holds) break;
        this.#holder = said.from;
        this.host.held(said.isNew);
        break;
      case "left":
        if (said.from !== this.#holder) break;
        this.#holder = null;
        this.host.left();
        break;
      case "who":
        if (this.host.holds) this.announce(false);
        break;
      case "ask":
        if (this.host.holds) void this.#answer(said.from, said.id, said.ask);
        break;
      case "answer":
        if (said.to === this.#tab) this.#asked.get(said.id)?.(said.reply);
    }
  }

  async #answer(to: string, id: number, ask: Ask): Promise<void> {
    this.#post({ kind: "answer", to, id, reply: await this.host.answer(ask) });
  }

  #post(said: Said): void {
    if (!this.#isClosed) this.#channel?.postMessage(said);
  }
}
