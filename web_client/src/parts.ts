/**
 * Parts: how messages and their parts are written into a transcript. PROTOCOL 5.1.
 *
 * Each function is called within one transaction, after its content was checked. What is written refers to nothing that
 * somebody else wrote and is inserted before nothing: PROTOCOL 5.6.
 */

import * as Y from "yjs";
import { LocalProtocolError } from "./core/errors.js";
import type { JsonMap } from "./core/messages.js";
import { isStreamed } from "./schema.js";
import type { NewMessage, Part } from "./schema.js";

/** A text longer than this goes on in a further segment: an append costs with the length of the run that it joins. */
const SEGMENT_CHARS = 8 << 10;

/** Write a whole message. Throws `LocalProtocolError`: its id is used already. */
export function putMessage(document: Y.Doc, message: NewMessage): void {
  const messages = document.getMap("messages");
  if (messages.has(message.id)) throw new LocalProtocolError(`message ${message.id} exists already`);
  const fields: [string, unknown][] = [
    ["role", message.role],
    ["author", message.author],
    ["created_at", message.createdAt],
    ["run", message.run],
    ["attempt", message.attempt],
    ["parent", message.parent],
    ["fork_of", message.forkOf],
    ["expires_at", message.expiresAt],
    ["to", message.to.length > 0 ? [...message.to] : undefined],
    [
      "metadata",
      message.metadata && Object.keys(message.metadata).length > 0 ? sharedMap(message.metadata) : undefined,
    ],
    ["parts", Y.Array.from(message.parts.map(sharedPart))],
  ];
  messages.set(message.id, new Y.Map(fields.filter(([, value]) => value !== undefined && value !== null)));
}

/** A part as the shared types that it is written as. */
export function sharedPart(part: Part): Y.Map<unknown> {
  const shared = sharedMap(part);
  const text = part["text"];
  if (isStreamed(part.type) && typeof text === "string") {
    const [first = "", ...more] = segments(text);
    shared.set("text", new Y.Text(first));
    if (more.length > 0) shared.set("more", Y.Array.from(more.map((segment) => new Y.Text(segment))));
  }
  return shared;
}

/**
 * Appends to the parts of one message, in segments that readers do not see.
 *
 * 1. It only ever writes behind what it wrote itself: PROTOCOL 5.6.
 */
export class PartWriter {
  /** Of the part that is open: its type, and how many characters its last segment has. */
  #type = "";
  #chars = 0;

  constructor(private readonly message: string) {}

  /** Add a part that is complete as it is. The open one, if any, is done. */
  addPart(document: Y.Doc, part: Part): void {
    this.finish(document);
    const parts = this.#parts(document);
    parts.push([sharedPart({ id: String(parts.length), ...part })]);
  }

  /** Append to the open part, or to a new one if that is of another type. */
  append(document: Y.Doc, type: "text" | "reasoning", text: string): void {
    if (this.#type !== type) {
      this.finish(document);
      const parts = this.#parts(document);
      const fields = { id: String(parts.length), type, text: new Y.Text(), state: "streaming" };
      parts.push([new Y.Map<unknown>(Object.entries(fields))]);
      this.#type = type;
      this.#chars = 0;
    }
    for (const piece of pieces(text, SEGMENT_CHARS - this.#chars)) {
      const segment = this.#segment(document);
      segment.insert(segment.length, piece);
      this.#chars += piece.length;
    }
  }

  /** The open part is done. */
  finish(document: Y.Doc): void {
    if (this.#type === "") return;
    this.#type = "";
    this.#last(document).set("state", "done");
  }

  /** The text that goes on: a new one behind it when it is long enough. */
  #segment(document: Y.Doc): Y.Text {
    const part = this.#last(document);
    let more = part.get("more") as Y.Array<Y.Text> | undefined;
    if (this.#chars >= SEGMENT_CHARS) {
      if (more === undefined) part.set("more", (more = new Y.Array<Y.Text>()));
      more.push([new Y.Text()]);
      this.#chars = 0;
    }
    return more !== undefined && more.length > 0 ? more.get(more.length - 1) : (part.get("text") as Y.Text);
  }

  #last(document: Y.Doc): Y.Map<unknown> {
    const parts = this.#parts(document);
    return parts.get(parts.length - 1);
  }

  #parts(document: Y.Doc): Y.Array<Y.Map<unknown>> {
    const message = document.getMap("messages").get(this.message);
    if (!(message instanceof Y.Map)) {
      throw new LocalProtocolError(`message ${this.message} was refused by the server: see session.refused()`, "gone");
    }
    return message.get("parts") as Y.Array<Y.Map<unknown>>;
  }
}

function sharedMap(fields: JsonMap): Y.Map<unknown> {
  return new Y.Map(Object.entries(fields).filter(([, value]) => value !== undefined) as [string, unknown][]);
}

function segments(text: string): string[] {
  return [...pieces(text, SEGMENT_CHARS)];
}

/** Cut a text, the first piece of at most `room` characters, never within one of two code units. */
function* pieces(text: string, room: number): Generator<string> {
  for (let at = 0; at < text.length; room = SEGMENT_CHARS) {
    let end = Math.min(text.length, at + (room > 0 ? room : SEGMENT_CHARS));
    if (end < text.length && /[\ud800-\udbff]/.test(text.charAt(end - 1))) end++;
    yield text.slice(at, end);
    at = end;
  }
}
