/** The device that is told things, over a push service and a server that are stand-ins: nothing outlives its end. */

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Account } from "../../app/account/account.js";

const ANA = "user:ana";
const token = async () => "ana";

let kept: Map<string, string>;
/** What listens for "storage" and "visibilitychange". */
let listeners: Set<() => void>;
let subscribed: boolean;
/** Whether the server has this device. */
let known: boolean;
let badge: number | null;
/** Resolves what the server is asked next, at which it waits; null where it answers at once. */
let held: { path: RegExp; release: () => void } | null;

const subscription = {
  options: { applicationServerKey: new Uint8Array([1, 2, 3]).buffer },
  toJSON: () => ({ endpoint: "https://push.example.com/1", keys: {} }),
  unsubscribe: async () => !(subscribed = false),
};

/** The code as another page, or another load of this one, has it. */
async function page(): Promise<typeof import("../../app/push/device.js")> {
  vi.resetModules();
  return import("../../app/push/device.js");
}

/** Hold up the server's answers to what is asked of `path`, until they are released. */
function hold(path: RegExp): void {
  held = { path, release: () => {} };
}

async function release(): Promise<void> {
  const { release: go } = held!;
  held = null;
  go();
  await settled();
}

function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 5));
}

beforeEach(() => {
  [kept, listeners, subscribed, known, badge, held] = [new Map(), new Set(), false, false, null, null];
  const account: Account = { subject: ANA, name: "ana", token: "", guestKey: "", codes: [] };
  kept.set("syncd:account", JSON.stringify(account));
  const events = {
    addEventListener: (_: string, listener: () => void) => listeners.add(listener),
    removeEventListener: (_: string, listener: () => void) => listeners.delete(listener),
  };
  const registration = {
    getNotifications: async () => [],
    pushManager: {
      getSubscription: async () => (subscribed ? subscription : null),
      subscribe: async () => {
        subscribed = true;
        return subscription;
      },
    },
  };
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
    removeItem: (key: string) => kept.delete(key),
  });
  vi.stubGlobal("addEventListener", events.addEventListener);
  vi.stubGlobal("removeEventListener", events.removeEventListener);
  vi.stubGlobal("dispatchEvent", () => true);
  vi.stubGlobal("document", { visibilityState: "visible", ...events });
  vi.stubGlobal("Notification", { permission: "granted", requestPermission: async () => "granted" });
  vi.stubGlobal("navigator", {
    userAgent: "Chrome/1 Linux",
    setAppBadge: async (count: number) => void (badge = count),
    serviceWorker: {
      ready: Promise.resolve(registration),
      getRegistration: async () => registration,
      addEventListener: () => {},
      removeEventListener: () => {},
    },
  });
  vi.stubGlobal("fetch", async (path: string, { method }: RequestInit) => {
    if (method === "PUT") known = true;
    if (method === "DELETE") known = false;
    if (held?.path.test(`${method} ${path}`)) {
      await new Promise<void>((resolve) => (held!.release = resolve));
      // A request that was sent late may come late.
      if (method === "PUT") known = true;
    }
    return method === "GET" ? Response.json({ key: "AQID" }) : new Response(null, { status: 204 });
  });
});

afterEach(() => void vi.unstubAllGlobals());

it.each([/GET .*key/, /PUT/])(
  "is not subscribed again by what was under way at the sign-out, held up at %s",
  async (at) => {
    await (await page()).turnOn(ANA, token);
    expect([subscribed, known]).toEqual([true, true]);
    const again = await page();
    hold(at);
    const stop = again.attend(ANA, token, "");
    await settled();
    stop();
    await again.leave(ANA, token);
    await release();
    expect([subscribed, known]).toEqual([false, false]);
  },
);

it("is not subscribed again by what was under way when it was turned off, and can be turned on again", async () => {
  const { turnOff, turnOn } = await page();
  const { choiceOf } = await import("../../app/push/choice.js");
  hold(/PUT/);
  const turning = turnOn(ANA, token);
  const refused = expect(turning).rejects.toThrow("turned off meanwhile");
  await settled();
  await turnOff(ANA, token);
  await release();
  await refused;
  expect([choiceOf(ANA), subscribed, known]).toEqual(["no", false, false]);
  hold(/GET .*key/);
  const first = turnOn(ANA, token).catch(() => {});
  await settled();
  await turnOff(ANA, token);
  const { release: late } = held!;
  held = null;
  await turnOn(ANA, token);
  late();
  await first;
  await settled();
  expect([choiceOf(ANA), subscribed, known]).toEqual(["on", true, true]);
});

it("is not subscribed for who signs out while the browser asks for its permission", async () => {
  const { leave, turnOn } = await page();
  let answer: (given: NotificationPermission) => void = () => {};
  Notification.requestPermission = () => new Promise((resolve) => (answer = resolve));
  const turning = expect(turnOn(ANA, token)).rejects.toThrow("turned off meanwhile");
  await leave(ANA, token);
  answer("granted");
  await turning;
  expect([subscribed, known]).toEqual([false, false]);
});

it("is not subscribed again by another tab after the sign-out, neither looked at nor at it already", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  try {
    const one = await page();
    await one.turnOn(ANA, token);
    const two = await page();
    two.attend(ANA, token, "");
    await settled();
    vi.advanceTimersByTime(11 * 60_000);
    hold(/GET .*key/);
    for (const look of listeners) look();
    await settled();
    kept.delete("syncd:account");
    for (const look of listeners) look();
    await one.leave(ANA, token);
    await release();
    expect([subscribed, known]).toEqual([false, false]);
    vi.advanceTimersByTime(11 * 60_000);
    for (const look of listeners) look();
    await settled();
    expect([subscribed, known]).toEqual([false, false]);
  } finally {
    vi.useRealTimers();
  }
});

it("leaves no number on the console's icon when it ends", async () => {
  const { turnOff, turnOn } = await page();
  await turnOn(ANA, token);
  badge = 2;
  await turnOff(ANA, token);
  expect(badge).toBe(0);
});
