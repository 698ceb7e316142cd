/**
 * Copies: the sessions whose documents are in this tab, each once, for as long as somebody uses them.
 *
 * Knows nothing of who uses them, or of other tabs.
 */

import { Copy } from "./copy.js";
import type { CopyHost } from "./copy.js";
import { StoreError } from "./errors.js";
import type { TabMessage } from "./tabs.js";

type Told = "rows" | "synced" | "refused" | "reload" | "caught-up" | "standing";

interface Entry {
  readonly copy: Copy;
  readonly loaded: Promise<Copy>;
  /** Held by the one that leads. */
  kept: boolean;
}

export class Copies {
  readonly #entries = new Map<string, Entry>();

  constructor(private readonly host: CopyHost) {}

  /** All that are here, be they read yet or not. */
  *[Symbol.iterator](): Generator<Copy> {
    for (const { copy } of this.#entries.values()) yield copy;
  }

  get(session: string): Copy | undefined {
    return this.#entries.get(session)?.copy;
  }

  /** Have a session's copy read from the store. Throws `StoreError`. */
  load(session: string): Promise<Copy> {
    let entry = this.#entries.get(session);
    if (entry === undefined) {
      const copy = new Copy(session, this.host);
      entry = { copy, loaded: this.#read(copy), kept: false };
      this.#entries.set(session, entry);
    }
    return entry.loaded;
  }

  /** The same for somebody who uses it from now on, until its `close`. Throws too where it was erased meanwhile. */
  async use(session: string): Promise<Copy> {
    const loaded = this.load(session);
    const copy = this.get(session)!;
    copy.users += 1; // At once: whoever is through with it while it is read does not let go of it.
    try {
      await loaded;
    } catch (error) {
      copy.users -= 1;
      throw error;
    }
    if (this.get(session) !== copy)
      throw new StoreError("the copy was erased as it was opened: open it anew", "erased");
    return copy;
  }

  async #read(copy: Copy): Promise<Copy> {
    try {
      await copy.load();
    } catch (error) {
      if (this.get(copy.session) === copy) this.#entries.delete(copy.session);
      throw error;
    }
    await copy.catchUp();
    return copy;
  }

  /** Keep a copy, or keep it no longer. */
  keep(copy: Copy, kept: boolean): void {
    const entry = this.#entries.get(copy.session);
    if (entry?.copy !== copy) return;
    entry.kept = kept;
    this.release(copy.session);
  }

  /** Let go of a copy if nobody uses it. */
  release(session: string): void {
    const entry = this.#entries.get(session);
    if (entry !== undefined && !entry.kept && entry.copy.users === 0) this.drop(session);
  }

  /** Let go of a copy, whoever uses it. */
  drop(session: string): void {
    this.get(session)?.destroy();
    this.#entries.delete(session);
  }

  /** What another tab says of one session, if that is here. */
  heard(message: Extract<TabMessage, { kind: Told }>): void {
    const copy = this.get(message.session);
    if (copy === undefined) return;
    switch (message.kind) {
      case "rows":
        copy.absorb(message.rows);
        break;
      case "synced":
        copy.syncedRows(message.rows);
        break;
      case "refused":
        void copy.refusedRows(message.rows, message.code, message.reason).catch(() => {});
        break;
      case "reload":
        void copy.reload().catch(() => {});
        break;
      case "caught-up":
        copy.caughtUp(message.count);
        break;
      case "standing":
        copy.stands(message.standing);
        break;
    }
  }

  /** Read from the store what this tab was not told. */
  catchUp(): void {
    for (const { copy, loaded } of this.#entries.values()) {
      loaded.then(() => copy.catchUp()).catch(() => {}); // A store that is gone has been told of.
    }
  }
}
