/** The stand-in for lib0's logging: it has all that Yjs uses. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as log from "../../app/yjs_log.js";

test("what Yjs logs with is there, under lib0's names", () => {
  const yjs = readFileSync(new URL("../../node_modules/yjs/dist/yjs.mjs", import.meta.url), "utf8");
  expect(yjs).toContain("import * as logging from 'lib0/logging';");
  const used = new Set(Array.from(yjs.matchAll(/\blogging\.(\w+)/g), ([, name]) => name!));
  expect(used.size).toBeGreaterThan(3);
  expect([...used].filter((name) => !(name in log))).toEqual([]);
});
