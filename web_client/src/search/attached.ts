/**
 * Attached: a session that this tab has open, watched for what is to be indexed. Knows nothing of how that is done.
 */

import type { Searchable } from "./requests.js";

/** What the search needs of a session; `Session` is one. */
export interface SearchSession {
  readonly id: string;
  /** All messages in order. Each is another object when it changed. */
  messages(): readonly Searchable[];
  /** One message; null, or undefined, if there is none of that id. */
  message(id: string): Searchable | null | undefined;
  /** Call `listener` whenever something may have changed. Returns what ends that. */
  subscribe(listener: () => void): () => void;
}

/** How long changes gather before the messages are gone through: never per token. */
const LOOK_MS = 250;

/** Tells what changed since it was looked at last. */
export class Attached {
  readonly #unsubscribe: () => void;
  #seen: readonly Searchable[];
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** `changed` gets messages that are new or another, and with an empty text those that are no more. */
  constructor(
    private readonly session: SearchSession,
    private readonly changed: (messages: readonly Searchable[]) => void,
  ) {
    this.#seen = session.messages();
    this.#unsubscribe = session.subscribe(() => {
      this.#timer ??= setTimeout(() => this.look(), LOOK_MS);
    });
  }

  messages(): readonly Searchable[] {
    return this.session.messages();
  }

  has(id: string): boolean {
    return (this.session.message(id) ?? null) !== null;
  }

  /** Look now for what changed, if anything did. */
  look(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
    const [before, now] = [this.#seen, this.session.messages()];
    // An array that is changed in place would hide what changed.
    this.#seen = now.slice();
    const old = new Set(before);
    const changed = now.filter((message) => !old.delete(message));
    const ids = new Set(old.size > 0 ? now.map((message) => message.id) : []);
    for (const message of old) if (!ids.has(message.id)) changed.push(withoutText(message));
    if (changed.length > 0) this.changed(changed);
  }

  close(): void {
    this.#unsubscribe();
    this.look();
  }
}

function withoutText({ id, seq, by, createdAt }: Searchable): Searchable {
  return { id, seq, by, createdAt, text: "", streaming: false };
}
