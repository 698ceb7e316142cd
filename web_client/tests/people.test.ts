/** Attendance: everybody's status on one session, over devices, tabs and time; as in Python, case by case. */

import { describe, expect, it } from "vitest";
import type { Json, PresenceEntry } from "../src/core/messages.js";
import { Attendance } from "../src/people.js";
import type { Person } from "../src/people.js";

const ANN = "user:ann";
const NOBODY_WORKS = new Map<string, readonly string[]>();

function entry(peer: string, state: Json, subject = ANN, device = "laptop"): PresenceEntry {
  const [kind = "", name = ""] = subject.split(":");
  return { peer, subject, name, kind, device, state };
}

function says(activity: string): Json {
  return { activity };
}

function status(here: Attendance, now: number, subject = ANN): string {
  return here.people(now, NOBODY_WORKS).find((person) => person.subject === subject)?.status ?? "offline";
}

function only(here: Attendance, now: number): Person {
  const [person, ...more] = here.people(now, NOBODY_WORKS);
  expect(more).toEqual([]);
  return person!;
}

describe("everybody once", () => {
  it("counts the most present of several devices", () => {
    const here = new Attendance();
    here.take([entry("p1", says("hidden")), entry("p2", says("active"), ANN, "phone")], 0);
    expect(only(here, 0)).toEqual({
      subject: ANN,
      name: "ann",
      kind: "user",
      status: "active",
      watching: true,
      devices: ["laptop", "phone"],
      runs: [],
    });
  });

  it.each<[Json, string]>([
    [{}, "away"],
    [[], "away"],
    ["active", "away"],
    [{ activity: "active" }, "active"],
    [{ activity: "idle" }, "idle"],
    [{ activity: "hidden" }, "away"],
    [{ activity: "asleep" }, "away"],
    [{ activity: ["active"] }, "away"],
    [{ activity: "active", tabs: {} }, "active"],
    [{ activity: "active", tabs: { a: { activity: "hidden" }, b: { activity: "idle" } } }, "idle"],
    [{ activity: "hidden", tabs: { a: { activity: "active" }, b: 7 } }, "active"],
    [{ tabs: { a: 1 } }, "away"],
    [{ activity: "active", tabs: [1] }, "active"],
  ])("takes %j for %s", (state, expected) => {
    const here = new Attendance();
    here.take([entry("p", state)], 0);
    expect(status(here, 0)).toBe(expected);
  });

  it("shows an agent as active while it works, and else as idle", () => {
    const here = new Attendance();
    here.take([entry("w", {}, "agent:planner")], 0);
    expect(only(here, 0)).toMatchObject({ status: "idle", watching: false });
    const [planner] = here.people(0, new Map([["agent:planner", ["r1"]]]));
    expect(planner).toMatchObject({ status: "active", runs: ["r1"], watching: false });
  });
});

describe("the grace", () => {
  it("does not notice a reload", () => {
    const here = new Attendance();
    here.take([entry("p", says("active"))], 0);
    here.take([entry("p", null)], 1_000);
    expect(only(here, 1_000)).toMatchObject({ status: "active", watching: false });
    expect(here.due(1_000)).toBe(11_000);
    here.take([entry("q", says("active"))], 5_000);
    expect(status(here, 60_000)).toBe("active");
    expect(here.due(60_000)).toBeNull();
  });

  it("ends, and who did not come back is offline", () => {
    const here = new Attendance();
    here.take([entry("p", says("idle"))], 0);
    here.take([entry("p", null)], 1_000);
    expect(status(here, 10_999)).toBe("idle");
    expect(status(here, 11_000)).toBe("offline");
  });

  it("passes until hidden everywhere is away; a rise, and idleness, are told at once", () => {
    const here = new Attendance();
    here.take([entry("p", says("active")), entry("q", says("idle"))], 0);
    here.take([entry("p", says("hidden"))], 1_000);
    expect(only(here, 1_000).watching).toBe(true);
    expect(status(here, 11_000)).toBe("idle");
    here.take([entry("q", says("hidden"))], 20_000);
    expect(only(here, 20_000)).toMatchObject({ watching: false, status: "idle" });
    expect(status(here, 30_000)).toBe("away");
    here.take([entry("q", says("active"))], 31_000);
    expect(status(here, 31_000)).toBe("active");
    here.take([entry("q", says("idle"))], 31_001);
    expect(status(here, 31_001)).toBe("idle");
  });

  it("is a hidden tab's own when that reloads", () => {
    const here = new Attendance();
    here.take([entry("p", says("active"))], 0);
    here.take([entry("p", says("hidden"))], 0);
    here.take([entry("p", null)], 8_000);
    expect(status(here, 10_000)).toBe("away");
    here.take([entry("q", says("hidden"))], 12_000);
    expect(status(here, 60_000)).toBe("away");
  });

  it("knows nothing of a peer that never was", () => {
    const here = new Attendance();
    here.take([entry("p", null)], 0);
    expect([here.people(0, NOBODY_WORKS), here.due(0)]).toEqual([[], null]);
  });
});
