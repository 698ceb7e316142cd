/**
 * Codec: what a client sends to bytes, and bytes to what a server sent. PROTOCOL 3.
 *
 * The order of a frame's fields below is that of the wire. Holds no rules beyond the types of fields. What a server
 * needs of it is in the tests, which have one.
 */

import { RemoteProtocolError } from "./errors.js";
import type {
  ByLayer,
  ClientMessage,
  IndexRow,
  Json,
  Layer,
  PresenceEntry,
  ServerMessage,
  Unknown,
} from "./messages.js";
import { pack, Unpacker } from "./msgpack.js";

const BAD_MESSAGE = 4400;
const UNSUPPORTED = 4426;
const OPTIONAL_MIN = 128;
const OPTIONAL_MAX = 65_535;

/** Reads one field. Whatever it throws, `TypeError` or `RangeError`, says what is wrong with it. */
export type Read<T> = (from: Unpacker) => T;
type Shape<M> = { readonly [F in Exclude<keyof M, "kind">]: Read<M[F]> };
/** Of each kind of message the type of its frame, and what reads its fields. */
export type Frames<M extends { readonly kind: string }> = {
  readonly [K in M["kind"]]: readonly [type: number, Shape<Extract<M, { kind: K }>>];
};
type Fields<M extends { readonly kind: string }> = {
  readonly [K in M["kind"]]: readonly [type: number, ...Exclude<keyof Extract<M, { kind: K }>, "kind">[]];
};

// Readers of fields, named as the protocol names them.

export const uint: Read<number> = (from) => from.uint();
const number: Read<number> = (from) => from.number();
export const flag: Read<boolean> = (from) => from.flag();
export const text: Read<string> = (from) => from.text();
export const bytes: Read<Uint8Array> = (from) => from.bytes();
export const json: Read<Json> = (from) => from.value() as Json;

export const short: Read<string> = (from) => {
  const value = from.text();
  if (value.length > 128 && [...value].length > 128) throw new TypeError("must have at most 128 characters");
  return value;
};

export const id: Read<string> = (from) => {
  const value = from.text();
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(value)) throw new TypeError("must be 1 to 64 of A-Z a-z 0-9 _ -");
  return value;
};

const idOrEmpty: Read<string> = (from) => {
  const value = from.text();
  if (!/^[A-Za-z0-9_-]{0,64}$/.test(value)) throw new TypeError("must be at most 64 of A-Z a-z 0-9 _ -");
  return value;
};

export const oneOf =
  <T extends string>(...values: T[]): Read<T> =>
  (from) => {
    const value = from.text() as T;
    if (!values.includes(value)) throw new TypeError(`must be one of ${values.join(", ")}`);
    return value;
  };

export const arrayOf =
  <T>(item: Read<T>): Read<readonly T[]> =>
  (from) => {
    const items: T[] = [];
    for (let left = from.array(); left > 0; left--) items.push(item(from));
    return items;
  };

const mapOf =
  <T>(part: Read<T>): Read<{ readonly [key: string]: T }> =>
  (from) => {
    const parts: { [key: string]: T } = {};
    for (let left = from.map(); left > 0; left--) {
      const key = from.key();
      parts[key] = part(from);
    }
    return parts;
  };

export const layer: Read<Layer> = oneOf("transcript", "state");

export const byLayer: Read<ByLayer<Uint8Array>> = (from) => {
  const parts: { [L in Layer]?: Uint8Array } = {};
  for (let left = from.map(); left > 0; left--) {
    const name = layer(from);
    parts[name] = bytes(from);
  }
  return parts;
};

const entry: Read<PresenceEntry> = (from) => {
  let more = from.array() - 6;
  if (more < 0) throw new TypeError("an entry is [peer, subject, name, kind, device, state]");
  const [peer, subject, name, kind, device, state] = [
    text(from),
    text(from),
    text(from),
    text(from),
    text(from),
    json(from),
  ];
  for (; more > 0; more--) from.value();
  return { peer, subject, name, kind, device, state };
};

const texts = arrayOf(text);
const words = mapOf(text);
const ROW: { readonly [F in keyof IndexRow]: Read<IndexRow[F]> } = {
  session: id,
  title: text,
  tags: texts,
  archived: flag,
  at: uint,
  seq: uint,
  excerpt: text,
  unread: uint,
  needs: texts,
  running: words,
  here: words,
  responsible: short,
};

const indexRow: Read<IndexRow> = (from) => {
  let left = from.array();
  const row: { [field: string]: unknown } = {};
  for (const [name, read] of Object.entries(ROW)) {
    if (--left < 0) throw new TypeError(`${name} of a row is missing`);
    row[name] = read(from);
  }
  for (; left > 0; left--) from.value();
  return row as unknown as IndexRow;
};

const CLIENT: Fields<ClientMessage> = {
  Hello: [1, "versions", "token", "device", "agent"],
  Open: [2, "session", "vectors", "clientIds", "incarnation", "version", "seen"],
  Push: [3, "session", "layer", "number", "update"],
  SetPresence: [4, "session", "state"],
  Refresh: [5, "token"],
  Leave: [6, "session"],
  Ping: [7, "nonce"],
  Declare: [8, "session", "clientIds"],
  Serve: [9, "worker", "slots", "perSession"],
  Claim: [10, "session", "run", "policy", "attemptsMax"],
  Watch: [11, "after", "limit", "archived"],
};

export const SERVER: Frames<Exclude<ServerMessage, Unknown>> = {
  Welcome: [
    65,
    {
      version: uint,
      peer: id,
      subject: short,
      server: short,
      heartbeatS: number,
      frameBytesMax: uint,
      presenceBytesMax: uint,
      expiresAt: number,
      now: number,
    },
  ],
  Opened: [
    66,
    {
      session: id,
      incarnation: short,
      version: uint,
      seq: uint,
      caughtUp: uint,
      rights: arrayOf(text),
      updates: byLayer,
      vectors: byLayer,
      roots: mapOf(text),
      presence: arrayOf(entry),
      storageFull: flag,
    },
  ],
  Ack: [67, { session: id, number: uint }],
  Reject: [68, { session: id, number: uint, code: short, reason: text }],
  Update: [69, { session: id, layer, update: bytes }],
  PresenceChanged: [70, { session: id, entries: arrayOf(entry) }],
  Closed: [71, { session: id, code: uint, reason: text }],
  Bye: [72, { code: uint, reason: text, retryAfterS: number }],
  Pong: [73, { nonce: uint }],
  Refreshed: [74, { expiresAt: number }],
  Storage: [75, { full: flag }],
  Work: [76, { session: id, run: id, message: idOrEmpty, attempt: uint }],
  Index: [77, { rows: arrayOf(indexRow), next: short, whole: flag }],
  IndexChanged: [78, { rows: arrayOf(indexRow), gone: arrayOf(id) }],
};

/**
 * Return the frame of `message`.
 *
 * @throws LocalProtocolError if its presence is not JSON.
 */
export function encode(message: ClientMessage): Uint8Array {
  const [type, ...names] = CLIENT[message.kind];
  const fields = message as unknown as { [field: string]: unknown };
  return pack([type, ...names.map((name) => fields[name])]);
}

/**
 * Return the frame that a server sent.
 *
 * @throws RemoteProtocolError 4400 or 4426: close the link with it.
 */
export const decodeServer: (data: Uint8Array) => ServerMessage = /* @__PURE__ */ decoder<ServerMessage>(SERVER);

/** What reads frames of these kinds. Throws as `decodeServer`. */
export function decoder<M extends { readonly kind: string }>(frames: Frames<Exclude<M, Unknown>>) {
  // As the loop below sees them: each field is checked by its reader.
  const shapes = frames as Shapes;
  const kinds = new Map(Object.entries(shapes).map(([kind, [type]]) => [type, kind]));
  return (data: Uint8Array): M => decode(data, kinds, shapes) as M;
}

type Shapes = { readonly [kind: string]: readonly [type: number, { readonly [field: string]: Read<unknown> }] };

function decode(data: Uint8Array, kinds: ReadonlyMap<number, string>, shapes: Shapes): unknown {
  const from = new Unpacker(data);
  let at = "frame";
  try {
    let left = from.array() - 1;
    const type = from.int();
    const kind = kinds.get(type);
    const message: { [field: string]: unknown } = kind === undefined ? { kind: "Unknown", type } : { kind };
    for (const [name, read] of kind === undefined ? [] : Object.entries(shapes[kind]![1])) {
      at = `${kind}.${name}`;
      if (--left < 0) throw new TypeError("is missing");
      message[name] = read(from);
    }
    // PROTOCOL 3: fields behind those known are ignored, so that later versions may add some.
    for (at = "frame"; left > 0; left--) from.value();
    if (from.left) throw new TypeError("has bytes behind it");
    if (kind === undefined && !(type >= OPTIONAL_MIN && type <= OPTIONAL_MAX)) {
      throw new RemoteProtocolError(UNSUPPORTED, `frame type ${type} is not known here`);
    }
    return message;
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new RemoteProtocolError(BAD_MESSAGE, `${at}: ${error.message}`);
  }
}
