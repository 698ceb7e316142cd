/** The search without an index. */

import { describe, expect, test } from "vitest";
import type { Searchable } from "../../src/search/requests.js";
import { scan } from "../../src/search/scan.js";

function message(id: string, text: string, createdAt: number): Searchable {
  return { id, seq: createdAt, by: "user:mona", text, createdAt, streaming: false };
}

describe("a scan", () => {
  const trip = [message("m1", "The tram to Belém", 1), message("m2", "A museum", 2), message("m3", "No tram", 5)];
  const home = [message("m1", "Tramway", 3), message("m4", "tram", 4)];
  const all = [["trip", trip] as const, ["home", home] as const];
  const ids = async (query: string, limit = 50) =>
    (await scan(all, query, limit)).map((hit) => `${hit.session}/${hit.message}`);

  test("finds what holds all words, newest first, at most as many as asked for", async () => {
    expect(await ids("tram")).toEqual(["trip/m3", "home/m4", "home/m1", "trip/m1"]);
    expect(await ids("tram", 2)).toEqual(["trip/m3", "home/m4"]);
    expect(await ids("belem tram")).toEqual(["trip/m1"]);
    expect(await ids("museum tram")).toEqual([]);
    expect(await ids("")).toEqual([]);
    expect(await ids("tram", 0)).toEqual([]);
  });

  test("tells what is needed to show a hit", async () => {
    expect(await scan(all, "museum", 1)).toEqual([
      {
        session: "trip",
        message: "m2",
        seq: 2,
        by: "user:mona",
        at: 2,
        snippet: { text: "A museum", ranges: [[2, 8]] },
      },
    ]);
  });

  test("lets others work meanwhile", async () => {
    const large = Array.from({ length: 2000 }, (_, nth) => message(`m${nth}`, "é tram ".repeat(100), nth));
    let isDone = false;
    let turns = 0;
    const count = () => {
      turns++;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    await scan([["trip", large]], "nothing", 50);
    isDone = true;
    expect(turns).toBeGreaterThan(2);
  });
});
