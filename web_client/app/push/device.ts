/**
 * This device, as the server tells it things: subscribed, kept up to date, and given up. Loaded when it is first wanted.
 *
 * 1. The browser is asked for its permission only in answer to a click.
 * 2. Who signs out is told nothing more here: the browser's subscription ends, with or without a network.
 *    What was under way then comes to nothing, in this tab and in others.
 */

import { stored } from "../account/account.js";
import { request } from "../kit/api.js";
import { choiceOf, choose } from "./choice.js";
import type { Kept, Said } from "./said.js";

type Token = () => Promise<string>;

/** A browser without a push service never answers, milliseconds. */
const SUBSCRIBE_MS = 10_000;
/** How often the server is told at most that the device is used, milliseconds. */
const USED_MS = 600_000;
const DEVICE = "syncd:device";

/** When the server was last told, by the page's own clock. */
let usedAt = -Infinity;
/** Moves when nothing more is to be told here: whoever began to subscribe before has to stop. Invariant 2. */
let ends = 0;
/** How many began to subscribe since. */
let begun = 0;

/** It cannot be. The message is for people, and says what they can do. */
export class NotTold extends Error {
  override name = "NotTold";
}

/** Be told on this device from now on. Call it from a click. */
export async function turnOn(subject: string, token: Token): Promise<void> {
  const asked = ends;
  if ((await Notification.requestPermission()) !== "granted") {
    choose(subject, "no");
    throw new NotTold("The browser does not allow it. In its settings for this page it can be allowed again.");
  }
  await subscribe(token, asked);
  choose(subject, "on");
}

/** Be told nothing more on this device. */
export async function turnOff(subject: string, token: Token): Promise<void> {
  choose(subject, "no");
  await end(token);
}

/** Somebody signs out here: nothing more is told to them on this device. What they chose stays for when they come back. */
export async function leave(subject: string, token: Token): Promise<void> {
  stop();
  if (choiceOf(subject) === "on") await end(token);
}

async function end(token: Token): Promise<void> {
  stop();
  const registration = await navigator.serviceWorker.getRegistration();
  for (const notification of (await registration?.getNotifications()) ?? []) notification.close();
  await number(0);
  await unsubscribe(token);
}

/** Have whoever is about to subscribe stop. */
function stop(): void {
  ends++;
  begun = 0;
  usedAt = -Infinity;
}

async function unsubscribe(token: Token): Promise<void> {
  const registration = await navigator.serviceWorker.getRegistration();
  const subscription = await registration?.pushManager.getSubscription();
  await subscription?.unsubscribe(); // Invariant 2.
  try {
    await request(`/v1/push/subscriptions/${deviceId()}`, { method: "DELETE", token: await token() });
  } catch (error) {
    // It learns that from the push service, when it has something to tell.
    console.warn("the server still believes that it can tell this device:", error);
  }
}

/**
 * Keep the server told that this device is used, as long as it is. Returns what ends that.
 *
 * `session` is the one that is looked at, empty for none: what was shown about it is taken back.
 */
export function attend(subject: string, token: Token, session: string): () => void {
  // Another tab may be where they signed out, or turned it off.
  const wanted = () => choiceOf(subject) === "on" && stored()?.subject === subject;
  const elsewhere = () => wanted() || stop();
  const look = () => {
    if (document.visibilityState !== "visible" || !wanted()) return;
    void seen(session);
    if (performance.now() - usedAt < USED_MS || Notification.permission !== "granted") return;
    subscribe(token).catch((error: unknown) => {
      usedAt = -Infinity;
      console.warn("this device is not told what happens:", error);
    });
  };
  const heard = ({ data }: MessageEvent) => {
    if ((data as Said | null)?.type !== "subscribed") return;
    usedAt = -Infinity;
    look();
  };
  look();
  document.addEventListener("visibilitychange", look);
  addEventListener("storage", elsewhere);
  navigator.serviceWorker.addEventListener("message", heard);
  return () => {
    document.removeEventListener("visibilitychange", look);
    removeEventListener("storage", elsewhere);
    navigator.serviceWorker.removeEventListener("message", heard);
  };
}

/** Take back what is shown about a session: it is looked at. */
export async function seen(session: string): Promise<void> {
  const registration = await navigator.serviceWorker.getRegistration();
  const shown = (await registration?.getNotifications()) ?? [];
  const about = shown.filter(({ data }) => session && (data as Kept | null)?.session === session);
  for (const notification of about) notification.close();
  if (about.length > 0) await number(shown.length - about.length);
}

/** Have the console's icon say how many notices are shown. */
async function number(count: number): Promise<void> {
  const badge = navigator as { setAppBadge?: (count: number) => Promise<void> };
  // Not every system has an icon to put a number on.
  await badge.setAppBadge?.(count).catch(() => undefined);
}

/** Rejects where it was ended since `asked`, with nothing left of it. */
async function subscribe(token: Token, asked = ends): Promise<void> {
  const still = async <T>(work: Promise<T>): Promise<T> => {
    const done = await work;
    if (ends !== asked) throw new NotTold("It was turned off meanwhile.");
    return done;
  };
  let made = false;
  try {
    if (ends === asked) [usedAt, begun] = [performance.now(), begun + 1];
    const { key } = await still(request<{ key: string }>("/v1/push/key", { token: await still(token()) }));
    const { pushManager } = await still(navigator.serviceWorker.ready);
    let subscription = await still(pushManager.getSubscription());
    if (subscription && keyOf(subscription) !== key) {
      // Of a server that has another key by now: it could not send to this.
      await still(subscription.unsubscribe());
      subscription = null;
    }
    made = true;
    subscription ??= await still(
      within(pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(key) }), SUBSCRIBE_MS),
    );
    const { endpoint, keys } = subscription.toJSON();
    await still(
      request(`/v1/push/subscriptions/${deviceId()}`, {
        method: "PUT",
        token: await still(token()),
        body: { endpoint: endpoint ?? "", keys: { ...keys }, name: browserName() },
      }),
    );
  } catch (error) {
    // Whoever began after that wants what this made.
    if (made && ends !== asked && begun === 0) await unsubscribe(token);
    throw error;
  }
}

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => reject(new NotTold("The browser's push service does not answer. Try again later.")), ms);
  });
  try {
    return await Promise.race([work, late]);
  } catch (error) {
    if (error instanceof NotTold) throw error;
    throw new NotTold(`The browser could not subscribe: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function keyOf(subscription: PushSubscription): string {
  const key = subscription.options.applicationServerKey;
  return key
    ? btoa(String.fromCharCode(...new Uint8Array(key)))
        .replace(/\+/g, "-")
        .replace(/\//g, "_")
        .replace(/=/g, "")
    : "";
}

function bytesOf(key: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(key.replace(/-/g, "+").replace(/_/g, "/")), (unit) => unit.charCodeAt(0));
}

/** By what the server tells this person's devices apart: the same as long as the browser keeps it. */
function deviceId(): string {
  const kept = localStorage.getItem(DEVICE);
  if (kept) return kept;
  const made = crypto.randomUUID();
  localStorage.setItem(DEVICE, made);
  return made;
}

/** What the device is called in a list. */
function browserName(): string {
  const { userAgent } = navigator;
  const browser = /(Firefox|Edg|OPR|Chrome|Safari)\//.exec(userAgent)?.[1] ?? "Browser";
  const system = /(Android|iPhone|iPad|Windows|Mac OS X|CrOS|Linux)/.exec(userAgent)?.[1] ?? "";
  return [browser === "Edg" ? "Edge" : browser === "OPR" ? "Opera" : browser, system].filter(Boolean).join(", ");
}
