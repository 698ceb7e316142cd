/** What somebody does with a page, by what the page is told: shown, focused, touched, left alone. */

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Attention } from "../src/attention.js";

/** A page, as far as attention looks at one. */
class Page extends EventTarget {
  hidden = false;
  focused = true;
  readonly window = new EventTarget();

  hasFocus(): boolean {
    return this.focused;
  }

  show(shown: boolean): void {
    this.hidden = !shown;
    this.dispatchEvent(new Event("visibilitychange"));
  }

  focus(focused: boolean): void {
    this.focused = focused;
    this.window.dispatchEvent(new Event(focused ? "focus" : "blur"));
  }

  input(kind = "keydown"): void {
    this.window.dispatchEvent(new Event(kind));
  }
}

let page: Page;
let said: string[];

function attended(): Attention {
  const attention = new Attention();
  attention.subscribe(() => said.push(attention.now));
  return attention;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  page = new Page();
  said = [];
  vi.stubGlobal("document", page);
  vi.stubGlobal("addEventListener", page.window.addEventListener.bind(page.window));
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it("takes whoever opens a page to be at it, and one that is opened behind others not", () => {
  expect(attended().now).toBe("active");
  page.hidden = true;
  expect(attended().now).toBe("hidden");
  page.hidden = false;
  page.focused = false;
  expect(attended().now).toBe("idle");
});

it.each(["pointerdown", "pointermove", "keydown", "wheel", "touchstart"])("takes a %s for being at it", (input) => {
  const attention = attended();
  vi.advanceTimersByTime(59_000);
  page.input(input);
  vi.advanceTimersByTime(59_000);
  expect(said).toEqual([]);
  vi.advanceTimersByTime(2_000);
  expect(said).toEqual(["idle"]);
  page.input(input);
  expect(attention.now).toBe("active");
  expect(said).toEqual(["idle", "active"]);
});

it("looks once a minute and not at each input", () => {
  attended();
  for (let second = 0; second < 600; second += 1) {
    page.input("pointermove");
    vi.advanceTimersByTime(1_000);
    expect(vi.getTimerCount()).toBe(1);
  }
  expect(said).toEqual([]);
});

it("says at once that the page is hidden, shown, or another window is used", () => {
  const attention = attended();
  page.show(false);
  page.show(true);
  page.focus(false);
  page.focus(true);
  expect(said).toEqual(["hidden", "active", "idle", "active"]);
  page.show(false);
  page.input(); // As a key that is pressed while the page goes.
  expect(attention.now).toBe("hidden");
  expect(vi.getTimerCount()).toBe(0);
});

it("hears nothing more when it is closed, and a listener that left", () => {
  const attention = new Attention();
  const stop = attention.subscribe(() => said.push("first"));
  attention.subscribe(() => said.push("second"));
  stop();
  page.show(false);
  expect(said).toEqual(["second"]);
  attention.close();
  page.show(true);
  vi.advanceTimersByTime(120_000);
  expect(said).toEqual(["second"]);
});

it("says of a worker that nobody looks", () => {
  vi.stubGlobal("document", undefined);
  expect(new Attention().now).toBe("hidden");
});
