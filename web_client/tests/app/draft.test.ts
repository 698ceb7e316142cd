/** Drafts: what is written and not sent, of a tab and of the device. */

import { beforeEach, expect, test, vi } from "vitest";
import { Draft } from "../../app/composer/draft.js";

/** What a browser keeps of strings. */
class Kept {
  readonly #items = new Map<string, string>();
  getItem(name: string): string | null {
    return this.#items.get(name) ?? null;
  }
  setItem(name: string, value: string): void {
    this.#items.set(name, value);
  }
  removeItem(name: string): void {
    this.#items.delete(name);
  }
}

const MONA = "user:mona";
let one: Kept;

/** Go to a tab, which has a storage of its own beside the device's. */
function goTo(tab: Kept): void {
  vi.stubGlobal("sessionStorage", tab);
}

beforeEach(() => {
  vi.stubGlobal("localStorage", new Kept());
  one = new Kept();
  goTo(one);
});

function written(text: string): Draft {
  const draft = new Draft(MONA, "trip");
  draft.write(text);
  return draft;
}

const again = () => new Draft(MONA, "trip").text;

test("what is being saved is not in the field, and is kept until it is saved", async () => {
  const draft = written("first");
  let saved = () => {};
  const sent = draft.send(() => new Promise<void>((resolve) => (saved = resolve)));
  expect(draft.text).toBe("");
  expect(again()).toBe("first");
  draft.write("second");
  expect(again()).toBe("first\nsecond");
  saved();
  await sent;
  expect(draft.text).toBe("second");
  expect(again()).toBe("second");
});

test("what could not be saved is put back in front of what was written meanwhile, and the failure is passed on", async () => {
  const draft = written("first");
  const sent = draft.send(() => Promise.reject(new Error("no space")));
  draft.write("second");
  await expect(sent).rejects.toThrow("no space");
  expect(draft.text).toBe("first\nsecond");
  expect(again()).toBe("first\nsecond");
});

test("what another tab sends takes nothing from this one", async () => {
  const draft = written("a long one, in the first tab");
  goTo(new Kept());
  await written("quick").send(async () => {});
  goTo(one);
  expect(again()).toBe("a long one, in the first tab");
  await draft.send(async () => {});
  expect(again()).toBe("");
});

test("a new tab has what was written last, and by sending it takes nothing that was written since", async () => {
  written("first");
  goTo(new Kept());
  const draft = new Draft(MONA, "trip");
  expect(draft.text).toBe("first");
  goTo(one);
  written("first, and more");
  goTo(new Kept());
  await draft.send(async () => {});
  expect(again()).toBe("first, and more");
});

test("nobody has the draft of somebody else, nor of another session", () => {
  written("secret");
  expect(new Draft("user:theo", "trip").text).toBe("");
  expect(new Draft(MONA, "other").text).toBe("");
  expect(again()).toBe("secret");
});
