/** What a downloaded session's file is called. */

import { expect, it } from "vitest";
import { fileName } from "../../app/session/download.js";

it("is called what the session is, as far as every system allows it", () => {
  expect(fileName("Lisbon: May / June?", "trip")).toBe("Lisbon May June");
  expect(fileName("@planner **Two** days", "trip")).toBe("Two days");
  expect(fileName("../../.profile", "trip")).toBe("profile");
  expect(fileName("a\u202egpj.exe. ", "trip")).toBe("a gpj.exe");
  expect([...fileName("😀".repeat(200), "trip")]).toHaveLength(80);
});

it("is called by its id where nothing is left of the title", () => {
  for (const title of ["", "  ", "...", "???", "\u200b"]) expect(fileName(title, "trip")).toBe("trip");
});
