/** Several tabs in the one presence of their link: whose fields it has, and what is left out where they are too much. */

import { expect, test } from "vitest";
import type { JsonMap } from "../src/core/messages.js";
import { pack } from "../src/core/msgpack.js";
import type { Place } from "../src/core/tabs.js";
import { together } from "../src/core/together.js";

const MAX = 4096;

/** Tabs in the order they were looked at, those of which `visible` names are looked at now. */
function merged(tabs: Record<string, JsonMap | null>, visible: string, bytesMax = MAX): JsonMap | null {
  const places = Object.entries(tabs).map(([tab, presence]): [string, Place] => {
    return [tab, { session: "s", presence, visible: visible.includes(tab) }];
  });
  return together(new Map(places), bytesMax);
}

test("one tab is as it is, several are beside each other under what they say together", () => {
  const [one, two] = [
    { at: 1, activity: "active" },
    { draft: "d", activity: "hidden" },
  ];
  expect(merged({ one, two: null }, "one")).toEqual(one);
  expect(merged({ one: null }, "one")).toBe(null);
  expect(merged({ one, two }, "one")).toEqual({ at: 1, draft: "d", activity: "active", tabs: { one, two } });
});

test("the activity is the most present of all tabs, whichever was looked at last", () => {
  const filler = "x".repeat(1_500);
  const [active, idle, hidden] = ["active", "idle", "hidden"].map((activity) => ({ activity, filler }));
  const all = { active: active!, idle: idle!, hidden: hidden! };
  expect(merged(all, "hidden")).toEqual({ activity: "active", filler });
  expect(merged({ hidden: hidden!, idle: idle!, other: { filler } }, "other")).toEqual({ activity: "idle", filler });
  expect(merged({ one: { filler }, two: { filler }, three: { filler } }, "one")).toEqual({ filler });
});

test("tabs that are together more than a server takes are left out, the one looked at longest ago first", () => {
  const tabs = {
    one: { selection: "x".repeat(3_000), activity: "active" },
    two: { draft: "y".repeat(3_000), activity: "hidden" },
  };
  expect(merged(tabs, "one")).toEqual(tabs.one);
  expect(merged(tabs, "two")).toEqual({ ...tabs.two, activity: "active" });
  expect(merged({ ...tabs, three: { at: 3 } }, "three two")).toEqual({ ...tabs.two, at: 3, activity: "active" });
});

test("where not even one fits there is only the activity, if there is one", () => {
  expect(merged({ one: { at: "x".repeat(100), activity: "idle" } }, "one", 60)).toEqual({ activity: "idle" });
  expect(merged({ one: { at: "x".repeat(100), activity: "y".repeat(100) } }, "one", 60)).toEqual({});
});

test("it is never more than a server takes, whatever the tabs show", () => {
  for (let size = 900; size <= 2_200; size += 10) {
    const tabs = Object.fromEntries(["a", "b", "c"].map((tab) => [tab, { [tab]: "x".repeat(size) }]));
    expect(pack(merged(tabs, "a")).length).toBeLessThanOrEqual(MAX);
  }
});
