import { deepStrictEqual } from "node:assert";
import { expect, test } from "vitest";
import { LocalProtocolError } from "../src/core/errors.js";
import { pack, Unpacker } from "../src/core/msgpack.js";
import { Random } from "./random.js";
import { heard, Speaker } from "./speech.js";

test("frames made by chance come back as they were", () => {
  const speaker = new Speaker(new Random(3));
  for (let count = 0; count < 400; count++) {
    const frame = speaker.frame();
    deepStrictEqual(heard(frame), frame);
  }
});

test.each([
  ["undefined", { a: undefined }],
  ["a function", () => 1],
  ["a date", new Date(0)],
  ["a map", new Map()],
  ["an integer of another kind", 1n],
  ["NaN", Number.NaN],
  ["infinity", [-Infinity]],
  ["half a surrogate pair", "\ud83d"],
  ["half a surrogate pair in a key", { "\ude00": 1 }],
  ["a key __proto__", JSON.parse('{"__proto__": 1}') as unknown],
])("what is not JSON is refused before it is sent: %s", (_, value) => {
  expect(() => pack({ state: value })).toThrow(LocalProtocolError);
});

test("a value that contains itself, or is nested too deep, is refused", () => {
  const round: unknown[] = [];
  round.push(round);
  expect(() => pack(round)).toThrow(LocalProtocolError);
  let nested: unknown = 1;
  for (let depth = 0; depth < 32; depth++) nested = [nested];
  expect(new Unpacker(pack(nested)).value()).toEqual(nested);
  expect(() => pack([[nested]])).toThrow(/32 deep/);
});

test("bytes that are read do not keep the frame they came in", () => {
  const frame = pack([Uint8Array.of(1, 2), "x".repeat(1_000)]);
  const [bytes] = new Unpacker(frame).value() as [Uint8Array];
  expect(bytes.buffer.byteLength).toBe(2);
});

test("a frame within a larger buffer is read where it lies", () => {
  const frame = pack([1, "é", Uint8Array.of(9)]);
  const larger = new Uint8Array(frame.length + 20).fill(0xc1);
  larger.set(frame, 7);
  expect(new Unpacker(larger.subarray(7, 7 + frame.length)).value()).toEqual([1, "é", Uint8Array.of(9)]);
});

test("a byte order mark is a character like any other", () => {
  expect(new Unpacker(pack("\ufeffa")).text()).toBe("\ufeffa");
});

test("what asks for more than there is, is nested without end, or has a key __proto__ is refused", () => {
  const read =
    (...bytes: number[]) =>
    () =>
      new Unpacker(Uint8Array.from(bytes)).value();
  expect(read(0xdd, 0xff, 0xff, 0xff, 0xff)).toThrow(RangeError);
  expect(read(0xdf, 0xff, 0xff, 0xff, 0xff)).toThrow(RangeError);
  expect(read(0xc6, 0x7f, 0xff, 0xff, 0xff)).toThrow(RangeError);
  expect(read(0xa2, 0x41)).toThrow(RangeError);
  for (const nesting of [0x91, 0x81]) {
    const level = nesting === 0x81 ? [nesting, 0xa0] : [nesting];
    const data = Uint8Array.from(Array.from({ length: 600 }, () => level).flat());
    expect(() => new Unpacker(data).value()).toThrow("nested too deep");
  }
  const evil = Uint8Array.from([0x81, 0xa9, ...new TextEncoder().encode("__proto__"), 0x01]);
  expect(() => new Unpacker(evil).value()).toThrow(TypeError);
});

test("an extension type, which the protocol does not have, is read over", () => {
  const data = Uint8Array.of(0x93, 0xd6, 0xff, 0, 0, 0, 1, 0xc7, 2, 5, 1, 2, 0x07);
  expect(new Unpacker(data).value()).toEqual([null, null, 7]);
});
