/** Names: what is shown of subjects, and what others wrote in them. */

import { expect, test } from "vitest";
import { authorOf } from "../../app/transcript/authors.js";
import { callGuest, hueOf, initials, listed, nameOf, shown, titled } from "../../app/people/names.js";

test("a subject is shown by the part of it that people say", () => {
  expect(nameOf("user:mona")).toBe("mona");
  expect(nameOf("agent:trip:planner")).toBe("trip:planner");
  expect(nameOf("user:")).toBe("somebody");
});

test("initials are of two words, or of the first two letters", () => {
  expect(initials("mona")).toBe("MO");
  expect(initials("Ana Maria Lopes")).toBe("AM");
  expect(initials("李雷")).toBe("李雷");
  expect(initials("")).toBe("?");
});

test("a colour is one of ten, the same each time, and differs for those of the demo", () => {
  const demo = ["user:mona", "agent:planner", "agent:critic"].map(hueOf);
  expect(new Set(demo).size).toBe(3);
  for (const hue of demo) expect(hue).toBeGreaterThanOrEqual(0);
  for (const hue of demo) expect(hue).toBeLessThan(10);
});

test("a name cannot turn the reading direction or hide in itself", () => {
  expect(shown("ad\u202enim\u200b\u0000 x\n\ny")).toBe("ad nim x y");
});

test("a title is without the marks of Markdown and without whom it was for", () => {
  expect(titled("@planner @critic find **a hotel**")).toBe("find a hotel");
  expect(titled("# Release `1.0`")).toBe("Release 1.0");
  expect(titled("@planner")).toBe("@planner");
});

test("several names are listed as people say them", () => {
  expect(listed([])).toBe("");
  expect(listed(["a"])).toBe("a");
  expect(listed(["a", "b", "c"])).toBe("a, b and c");
});

test("a guest is called as they call themselves, and marked as one", () => {
  expect(nameOf("user:guest-5a1897")).toBe("5a18 (guest)");
  callGuest("user:guest-5a1897", "Theo\u202e ");
  expect(nameOf("user:guest-5a1897")).toBe("Theo (guest)");
  expect(initials(nameOf("user:guest-5a1897"))).toBe("TH");
});

test("nobody but a guest can call themselves anything", () => {
  callGuest("user:ana", "mona");
  expect(nameOf("user:ana")).toBe("ana");
  callGuest("user:guest-77", { toString: () => "mona" });
  expect(nameOf("user:guest-77")).toBe("77 (guest)");
});

test("the author of a message is who the server says, then who it says, then whoever is at this device", () => {
  const claimed = { kind: "agent", name: "planner" };
  expect(authorOf({ by: "user:eve", author: claimed }, "user:ana")).toBe("user:eve");
  expect(authorOf({ by: null, author: claimed }, "user:ana")).toBe("agent:planner");
  expect(authorOf({ by: null, author: { kind: "user", name: "" } }, "user:ana")).toBe("user:ana");
  expect(authorOf({ by: null, author: {} })).toBe("user:");
});
