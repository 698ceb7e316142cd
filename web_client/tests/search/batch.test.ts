/** What waits to be indexed, and how it is cut. */

import { describe, expect, test } from "vitest";
import { Batch, CHARS_MAX, GATHER_MS, MESSAGES_MAX, QUIET_MS, pieces } from "../../src/search/batch.js";
import type { Searchable } from "../../src/search/requests.js";

function message(id: string, text: string, streaming = false): Searchable {
  return { id, seq: 1, by: null, text, createdAt: 0, streaming };
}

describe("a batch", () => {
  test("gathers messages for a moment, the newest of each id", () => {
    const batch = new Batch();
    batch.put("trip", message("a", "old"), 0);
    batch.put("trip", message("b", "one"), 50);
    batch.put("trip", message("a", "new"), 60);
    expect(batch.take(GATHER_MS - 1)).toBe(null);
    expect(batch.dueMs).toBe(GATHER_MS);
    expect(batch.take(GATHER_MS)).toEqual({ session: "trip", messages: [message("a", "new")] });
    expect(batch.take(50 + GATHER_MS)?.messages).toEqual([message("b", "one")]);
    expect(batch.isEmpty).toBe(true);
    expect(batch.dueMs).toBe(null);
  });

  test("holds a message that is written back until it is quiet, and lets it go when it is done", () => {
    const batch = new Batch();
    for (let nowMs = 0; nowMs < 10 * QUIET_MS; nowMs += QUIET_MS / 2) {
      batch.put("trip", message("a", `at ${nowMs}`, true), nowMs);
      expect(batch.take(nowMs)).toBe(null);
    }
    const last = 10 * QUIET_MS - QUIET_MS / 2;
    expect(batch.take(last + QUIET_MS - 1)).toBe(null);
    expect(batch.take(last + QUIET_MS)?.messages[0]?.text).toBe(`at ${last}`);
    batch.put("trip", message("a", "more", true), 0);
    batch.put("trip", message("a", "all of it"), 10);
    expect(batch.take(10 + GATHER_MS)?.messages[0]?.text).toBe("all of it");
  });

  test("takes back what was not indexed, but for what is newer", () => {
    const batch = new Batch();
    batch.put("trip", message("a", "newer"), 0);
    batch.back("trip", [message("a", "older"), message("b", "kept")], 0);
    expect(batch.take(GATHER_MS)?.messages.map((one) => one.text)).toEqual(["newer", "kept"]);
  });

  test("pieces have bounds; a message that is larger goes alone", () => {
    const small = Array.from({ length: MESSAGES_MAX + 1 }, (_, nth) => message(`m${nth}`, "x"));
    expect(Array.from(pieces(small), (piece) => piece.length)).toEqual([MESSAGES_MAX, 1]);
    const large = ["a", "b".repeat(CHARS_MAX + 1), "c"].map((text) => message(text[0]!, text));
    expect(Array.from(pieces(large), (piece) => piece.map((one) => one.id))).toEqual([["a"], ["b"], ["c"]]);
    expect([...pieces([])]).toEqual([]);
  });
});
