/** Stream: a message that grows while it is written. Knows nothing of the network; saving is the session's. */

import type * as Y from "yjs";
import { LocalProtocolError } from "./core/errors.js";
import type { Layer } from "./core/messages.js";
import type { Edit } from "./core/replica.js";
import { checkText } from "./core/values.js";
import { checkPart } from "./schema.js";
import type { NewMessage, Part } from "./schema.js";
import { PartWriter, putMessage } from "./parts.js";

/** Tokens gather this long: eight in one transaction cost a third of the bytes and an eighth of the work of eight. */
const FLUSH_MS = 40;
const FLUSH_CHARS = 16 << 10;

/** What a stream needs of its session. */
export interface StreamHost {
  transact(layer: Layer, change: (document: Y.Doc) => void): Edit;
}

/**
 * One message being written. `close` it when it is done, also when writing failed: its last part is marked as done then.
 *
 * What it is given is applied and on its way to the store within 40 ms, all at once.
 */
export class Stream {
  readonly id: string;
  readonly #host: StreamHost;
  readonly #writer: PartWriter;
  #edit: Edit;
  #buffer = "";
  #type: "text" | "reasoning" = "text";
  #timer: ReturnType<typeof setTimeout> | null = null;
  #open = true;
  #failed: unknown = null;

  constructor(host: StreamHost, message: NewMessage) {
    this.id = message.id;
    this.#host = host;
    this.#writer = new PartWriter(message.id);
    this.#edit = host.transact("transcript", (document) => putMessage(document, message));
  }

  /** Append to the answer. */
  text(text: string): void {
    this.#append("text", text);
  }

  /** Append to the reasoning, which is shown apart from the answer. */
  reasoning(text: string): void {
    this.#append("reasoning", text);
  }

  /** Add a part that is complete as it is, such as a source or a file. */
  part(part: Part): void {
    checkPart(part);
    this.#flush();
    this.#write((document) => this.#writer.addPart(document, part));
  }

  /** Resolves when all that was written so far is saved. Await it now and then where you write faster than a disk. */
  async flush(): Promise<void> {
    this.#flush();
    await this.#edit.saved;
  }

  /** The message is done. Resolves when all of it is saved. */
  async close(): Promise<void> {
    if (!this.#open) return this.#edit.saved;
    try {
      this.#flush();
      this.#write((document) => this.#writer.finish(document));
    } finally {
      this.#open = false;
    }
    await this.#edit.saved;
  }

  /** Resolves when all that was written so far is on the server's disk. Rejects with `NotSynced`. */
  synced(): Promise<void> {
    return this.#edit.synced;
  }

  #append(type: "text" | "reasoning", text: string): void {
    this.#check();
    checkText(text);
    if (type !== this.#type) {
      this.#flush();
      this.#type = type;
    }
    this.#buffer += text;
    if (this.#buffer.length >= FLUSH_CHARS) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flushTimed(), FLUSH_MS);
  }

  #flushTimed(): void {
    try {
      this.#flush();
    } catch (error) {
      this.#failed = error; // Thrown by the next call.
    }
  }

  #flush(): void {
    this.#check();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const text = this.#buffer;
    this.#buffer = "";
    if (text !== "") this.#write((document) => this.#writer.append(document, this.#type, text));
  }

  #write(change: (document: Y.Doc) => void): void {
    this.#check();
    this.#edit = this.#host.transact("transcript", change);
  }

  #check(): void {
    if (this.#failed !== null) throw this.#failed;
    if (!this.#open) throw new LocalProtocolError("this stream is closed: begin another with session.stream()");
  }
}
