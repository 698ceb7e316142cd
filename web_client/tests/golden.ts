/** Golden vectors of the protocol, as the Python side wrote them. */

import { readFileSync } from "node:fs";

/** A file of vectors below `tests/vectors/v1`. */
export function golden<T>(name: string): T {
  const path = new URL(`../../tests/vectors/v1/${name}`, import.meta.url);
  return JSON.parse(readFileSync(path, "utf8")) as T;
}
