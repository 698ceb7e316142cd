/** Strings: read quickly, and as the browser's own decoder reads them. */

import { utf8TextDecoder } from "lib0/string";
import { expect, it } from "vitest";
import { quick, readQuickly } from "../src/core/strings.js";
import { Random } from "./random.js";

const plain = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

it("any bytes are read as the browser's decoder reads them, or refused as it refuses them", () => {
  const read = quick((bytes) => plain.decode(bytes));
  const outcome = (decode: (bytes: Uint8Array) => string, bytes: Uint8Array) => {
    try {
      return decode(bytes);
    } catch (error) {
      return (error as Error).name;
    }
  };
  const random = new Random(7);
  for (let turn = 0; turn < 4_000; turn++) {
    const top = turn % 3 === 0 ? 256 : 128;
    const bytes = Uint8Array.from({ length: random.below(60) }, () => random.below(top));
    expect(outcome(read, bytes)).toBe(outcome((given) => plain.decode(given), bytes));
  }
});

it("Yjs reads so, and is set to it once", () => {
  readQuickly();
  const { decode } = utf8TextDecoder!;
  readQuickly();
  expect(utf8TextDecoder!.decode).toBe(decode);
  expect(Object.hasOwn(utf8TextDecoder!, "decode")).toBe(true);
  for (const text of ["", "role", "é𝄞", "\u0000", "a".repeat(100)]) {
    expect(utf8TextDecoder!.decode(new TextEncoder().encode(text))).toBe(text);
  }
});
