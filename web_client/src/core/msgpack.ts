/**
 * Msgpack, strictly: values to bytes, and bytes read as what is expected there.
 *
 * Of our own, since stock readers replace bad UTF-8 and take a whole float for an integer, which the protocol forbids,
 * and since reading what is expected needs no second pass of checks. Knows nothing of frames.
 */

import { LocalProtocolError } from "./errors.js";
import { checkText, isPlain } from "./values.js";

// Levels of nesting: what may be written (PROTOCOL 8), and what can be read without running out of stack.
const WRITE_DEPTH_MAX = 32;
const READ_DEPTH_MAX = 512;

const UTF8 = new TextEncoder();
// A byte order mark is a character like any other.
const STRICT_UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads one value after the other from bytes.
 *
 * Whatever it throws, `TypeError` or `RangeError`, says that the bytes are not what was asked for.
 */
export class Unpacker {
  #at = 0;
  readonly #view: DataView;

  constructor(private readonly data: Uint8Array) {
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  /** How many bytes are left. */
  get left(): number {
    return this.data.length - this.#at;
  }

  /** An integer from 0 to 2^53 - 1. */
  uint(): number {
    const value = this.int();
    if (value < 0) throw new TypeError("must be an integer from 0 to 2^53 - 1");
    return value;
  }

  /** An integer within 2^53 - 1 of 0: no whole float. */
  int(): number {
    const tag = this.#view.getUint8(this.#at);
    if (!(tag < 0x80 || (tag >= 0xcc && tag <= 0xd3) || tag >= 0xe0)) throw new TypeError("must be an integer");
    return this.value() as number;
  }

  /** A finite number, or an integer within 2^53 - 1 of 0. */
  number(): number {
    const value = this.value();
    if (typeof value !== "number") throw new TypeError("must be a number");
    return value;
  }

  flag(): boolean {
    const value = this.value();
    if (typeof value !== "boolean") throw new TypeError("must be a boolean");
    return value;
  }

  text(): string {
    const value = this.value();
    if (typeof value !== "string") throw new TypeError("must be a string");
    return value;
  }

  /** A copy: a part of a frame would keep, and be stored with, the whole of it. */
  bytes(): Uint8Array {
    const value = this.value();
    if (!(value instanceof Uint8Array)) throw new TypeError("must be bytes");
    return value;
  }

  /** The length of an array whose items come next. */
  array(): number {
    return this.#length(0x90, 15, 0xdc, "an array");
  }

  /** How many pairs of a map come next, each a string and a value. */
  map(): number {
    return this.#length(0x80, 15, 0xde, "a map");
  }

  /** A key of a map. */
  key(): string {
    const key = this.text();
    // PROTOCOL 3. It would set the prototype of the object that the map becomes.
    if (key === "__proto__") throw new TypeError("a key is __proto__");
    return key;
  }

  /** Any value. One of an extension type, of which the protocol has none, is null. */
  value(depth = 0): unknown {
    const tag = this.#uint(1);
    if (tag < 0x80) return tag;
    if (tag >= 0xe0) return tag - 0x100;
    if (tag < 0x90) return this.#pairs(tag & 15, depth);
    if (tag < 0xa0) return this.#items(tag & 15, depth);
    if (tag < 0xc0) return this.#string(tag & 31);
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#take(this.#uint(1 << (tag - 0xc4))).slice();
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(this.#uint(1 << (tag - 0xc7)));
      case 0xca:
        return finite(this.#view.getFloat32(this.#move(4)));
      case 0xcb:
        return finite(this.#view.getFloat64(this.#move(8)));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#uint(1 << (tag - 0xcc));
      case 0xcf:
        return exact(this.#view.getBigUint64(this.#move(8)));
      case 0xd0:
        return this.#view.getInt8(this.#move(1));
      case 0xd1:
        return this.#view.getInt16(this.#move(2));
      case 0xd2:
        return this.#view.getInt32(this.#move(4));
      case 0xd3:
        return exact(this.#view.getBigInt64(this.#move(8)));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (tag - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(this.#uint(1 << (tag - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#items(this.#uint(tag === 0xdc ? 2 : 4), depth);
      case 0xde:
      case 0xdf:
        return this.#pairs(this.#uint(tag === 0xde ? 2 : 4), depth);
      default:
        throw new TypeError("a byte that msgpack does not use");
    }
  }

  /** Move behind `bytes` more; return where they begin. */
  #move(bytes: number): number {
    const at = this.#at;
    if (bytes > this.left) throw new RangeError("cut short");
    this.#at += bytes;
    return at;
  }

  #take(bytes: number): Uint8Array {
    const at = this.#move(bytes);
    return this.data.subarray(at, at + bytes);
  }

  #uint(width: number): number {
    const at = this.#move(width);
    return width === 1 ? this.#view.getUint8(at) : width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #string(bytes: number): string {
    return STRICT_UTF8.decode(this.#take(bytes));
  }

  #extension(bytes: number): null {
    this.#move(bytes + 1);
    return null;
  }

  #length(fixed: number, mask: number, wide: number, what: string): number {
    const tag = this.#uint(1);
    const length = tag === wide ? this.#uint(2) : tag === wide + 1 ? this.#uint(4) : tag - fixed;
    if (length < 0 || (tag < wide && length > mask) || tag > wide + 1) throw new TypeError(`must be ${what}`);
    return length;
  }

  #items(length: number, depth: number): unknown[] {
    if (depth >= READ_DEPTH_MAX) throw new RangeError("nested too deep");
    const items: unknown[] = [];
    for (; length > 0; length--) items.push(this.value(depth + 1));
    return items;
  }

  #pairs(length: number, depth: number): { [key: string]: unknown } {
    if (depth >= READ_DEPTH_MAX) throw new RangeError("nested too deep");
    const pairs: { [key: string]: unknown } = {};
    for (; length > 0; length--) {
      const key = this.key();
      pairs[key] = this.value(depth + 1);
    }
    return pairs;
  }
}

function finite(value: number): number {
  if (!Number.isFinite(value)) throw new TypeError("must be finite");
  return value;
}

function exact(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new TypeError("an integer beyond 2^53 - 1");
  return number;
}

/**
 * Return `value` as msgpack, each number and length in the fewest bytes, whole numbers as integers.
 *
 * @throws LocalProtocolError for what is neither JSON nor bytes, or nested more than 32 deep.
 */
export function pack(value: unknown): Uint8Array {
  const packer = new Packer();
  packer.value(value, 0);
  return packer.packed();
}

class Packer {
  #data = new Uint8Array(256);
  #view = new DataView(this.#data.buffer);
  #at = 0;

  packed(): Uint8Array {
    return this.#data.slice(0, this.#at);
  }

  value(value: unknown, depth: number): void {
    if (value === null) this.#byte(0xc0);
    else if (value === true || value === false) this.#byte(value ? 0xc3 : 0xc2);
    else if (typeof value === "number") this.#number(value);
    else if (typeof value === "string") this.#string(value);
    else if (value instanceof Uint8Array) {
      this.#head(value.length, -1, 0, 0xc4, 0xc5, 0xc6);
      this.#append(value);
    } else if (depth > WRITE_DEPTH_MAX) {
      throw new LocalProtocolError(`a value is nested more than ${WRITE_DEPTH_MAX} deep: make it flatter`);
    } else if (Array.isArray(value)) {
      this.#head(value.length, 15, 0x90, -1, 0xdc, 0xdd);
      for (const item of value) this.value(item, depth + 1);
    } else if (isPlain(value)) {
      const pairs = Object.entries(value);
      this.#head(pairs.length, 15, 0x80, -1, 0xde, 0xdf);
      for (const [key, item] of pairs) {
        if (key === "__proto__") throw new LocalProtocolError("a key named __proto__ cannot be read: use another");
        this.#string(key);
        this.value(item, depth + 1);
      }
    } else {
      throw new LocalProtocolError(`${typeof value} is not JSON: leave it out, or use null`);
    }
  }

  #number(value: number): void {
    if (!Number.isFinite(value)) throw new LocalProtocolError("NaN and infinity are not JSON: use null");
    if (!Number.isSafeInteger(value)) {
      this.#byte(0xcb);
      const at = this.#room(8);
      this.#view.setFloat64(at, value);
    } else if (value >= 0) {
      if (value < 0x80) this.#byte(value);
      else if (value < 2 ** 32) this.#head(value, -1, 0, 0xcc, 0xcd, 0xce);
      else this.#wide(0xcf, value);
    } else if (value >= -0x20) this.#byte(value);
    else if (value >= -0x80) this.#tagged(0xd0, value, 1);
    else if (value >= -0x8000) this.#tagged(0xd1, value, 2);
    else if (value >= -(2 ** 31)) this.#tagged(0xd2, value, 4);
    else this.#wide(0xd3, value);
  }

  #string(text: string): void {
    checkText(text);
    const bytes = UTF8.encode(text);
    this.#head(bytes.length, 31, 0xa0, 0xd9, 0xda, 0xdb);
    this.#append(bytes);
  }

  /** Write a length (or a number) with its tag, in the shortest of the forms there are; -1 for a form there is not. */
  #head(length: number, fixedMax: number, fixed: number, tag8: number, tag16: number, tag32: number): void {
    if (length <= fixedMax) this.#byte(fixed | length);
    else if (length < 0x100 && tag8 >= 0) this.#tagged(tag8, length, 1);
    else if (length < 0x10000) this.#tagged(tag16, length, 2);
    else this.#tagged(tag32, length, 4);
  }

  #wide(tag: number, value: number): void {
    this.#tagged(tag, Math.floor(value / 2 ** 32), 4);
    this.#bytes(value, 4);
  }

  #tagged(tag: number, value: number, width: number): void {
    this.#byte(tag);
    this.#bytes(value, width);
  }

  /** Write the low bytes of an integer, the highest first. */
  #bytes(value: number, width: number): void {
    for (let shift = 8 * (width - 1); shift >= 0; shift -= 8) this.#byte(value >> shift);
  }

  #byte(value: number): void {
    const at = this.#room(1);
    this.#data[at] = value;
  }

  #append(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#data.set(bytes, at);
  }

  /** Make room for so many bytes; return where they begin. */
  #room(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at > this.#data.length) {
      const wider = new Uint8Array(Math.max(this.#at, 2 * this.#data.length));
      wider.set(this.#data.subarray(0, at));
      this.#data = wider;
      this.#view = new DataView(wider.buffer);
    }
    return at;
  }
}
