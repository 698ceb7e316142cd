/** People: who is here, of what presence says. */

import { expect, test } from "vitest";
import type { Json, PresenceEntry } from "../../src/core/messages.js";
import { peopleOf } from "../../app/people/people.js";

let peers = 0;
const entry = (subject: string, device: string, state: Json): PresenceEntry => ({
  peer: `p${peers++}`,
  subject,
  name: "",
  kind: subject.split(":")[0]!,
  device,
  state,
});

test("the tabs of one device are one face, away only if all of them are", () => {
  const tabs = [entry("user:ana", "phone", { activity: "hidden" }), entry("user:ana", "phone", { status: "typing" })];
  expect(peopleOf(tabs, "user:mona")).toMatchObject([{ name: "ana", away: false, typing: true }]);
  expect(peopleOf([tabs[0]!, tabs[0]!], "user:mona")).toMatchObject([{ away: true }]);
});

test("one person on two devices is two faces", () => {
  expect(peopleOf([entry("user:ana", "phone", {}), entry("user:ana", "laptop", {})], "")).toHaveLength(2);
});

test("own faces come first, then people, then agents, then those away", () => {
  const here = [
    entry("agent:planner", "x", {}),
    entry("user:zoe", "x", { activity: "hidden" }),
    entry("user:bea", "x", {}),
    entry("user:mona", "x", {}),
  ];
  expect(peopleOf(here, "user:mona").map((person) => person.name)).toEqual(["mona", "bea", "planner", "zoe"]);
});

test("who left, and who only keeps the session open, is not here", () => {
  expect(peopleOf([entry("user:ana", "x", null), entry("user:bea", "x", { gone: true })], "")).toEqual([]);
});

test("whatever somebody says in presence, it is shown as words or not at all", () => {
  for (const state of [7, "typing", [1], { where: { a: 1 } }, { where: "<img>\u202e" }, { away: "yes" }] as Json[]) {
    const [person] = peopleOf([entry("user:ana", "x", state)], "");
    expect(person).toMatchObject({ away: false, typing: false });
    expect(typeof person!.where).toBe("string");
  }
});
