/** Vectors: the protocol's golden files, read as `tests/vectors/README.md` says. */

import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PLACE = fileURLToPath(new URL("../../tests/vectors/v1/", import.meta.url));

export function load<T>(name: string): T {
  return JSON.parse(readFileSync(PLACE + name, "utf8")) as T;
}

/** The files of frames, by the path below the folder. */
export const FRAME_FILES = readdirSync(`${PLACE}frames`).map((name) => `frames/${name}`);

export function fromHex(hex: string): Uint8Array {
  const plain = hex.replace(/\(([0-9a-f]{2})\*(\d+)\)/g, (_, byte: string, times: string) =>
    byte.repeat(Number(times)),
  );
  return Uint8Array.from(Buffer.from(plain, "hex"));
}

export function toHex(data: Uint8Array): string {
  const hex = Buffer.from(data).toString("hex");
  return hex.replace(/(..)\1{255,}|../g, (bytes, byte?: string) => (byte ? `(${byte}*${bytes.length / 2})` : bytes));
}

/** Turn `{"$bytes": hex}` into bytes, everywhere. */
export function unmark(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unmark);
  if (value === null || typeof value !== "object") return value;
  if ("$bytes" in value) return fromHex(value.$bytes as string);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unmark(part)]));
}

export function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
