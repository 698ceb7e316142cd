/**
 * Pushes, as the service worker takes them: what the server tells is shown, replaced and taken back, and a click leads
 * to it.
 *
 * 1. What somebody looks at is not shown to them.
 * 2. A notice that comes twice makes no second noise: another one under the same tag does.
 * 3. A click leads to a page of this console and to no other, whatever the notice says.
 * 4. Pushes are taken one after another: Chromium loses a notification that it is asked to show while it lists them.
 */

/// <reference lib="webworker" />

import type { Kept, Said } from "./said.js";

/** What the server tells, as `syncd/server/hooks/channels/push.py` makes it. */
interface Told {
  readonly id: string;
  readonly session: string;
  readonly title: string;
  readonly text: string;
  readonly path: string;
  readonly tag: string;
}

const ICON = "/icon-192.png";

/** Have `worker` take pushes, clicks, and subscriptions that the browser replaced. */
export function takePushes(worker: ServiceWorkerGlobalScope): void {
  let turn = Promise.resolve();
  worker.addEventListener("push", (event) => {
    const taken = turn.then(() => pushed(worker, event.data));
    turn = taken.catch(() => undefined); // Invariant 4.
    event.waitUntil(taken);
  });
  worker.addEventListener("notificationclick", (event) => event.waitUntil(clicked(worker, event.notification)));
  worker.addEventListener("notificationclose", (event) => event.waitUntil(count(worker)));
  worker.addEventListener("pushsubscriptionchange", (event) => {
    const change = event as ExtendableEvent & { readonly oldSubscription?: PushSubscription | null };
    change.waitUntil(subscribedAnew(worker, change.oldSubscription ?? null));
  });
}

async function pushed(worker: ServiceWorkerGlobalScope, data: PushMessageData | null): Promise<void> {
  const said = parsed(data);
  if (typeof said["withdraw"] === "string") {
    const shown = await worker.registration.getNotifications({ tag: said["withdraw"] });
    for (const notification of shown) notification.close();
  } else {
    const told = read(said);
    if (!(await looksAt(worker, told.session))) await show(worker, told); // Invariant 1.
  }
  await count(worker);
}

async function show(worker: ServiceWorkerGlobalScope, told: Told): Promise<void> {
  const before = told.tag ? await worker.registration.getNotifications({ tag: told.tag }) : [];
  const again = before.some((notification) => (notification.data as Kept | null)?.id === told.id);
  const data: Kept = { id: told.id, session: told.session, path: told.path };
  const options = {
    body: told.text,
    tag: told.tag,
    icon: ICON,
    badge: ICON,
    data,
    // Only with a tag: browsers refuse it without one.
    ...(told.tag && { renotify: before.length > 0 && !again }), // Invariant 2.
  };
  await worker.registration.showNotification(told.title, options);
}

async function clicked(worker: ServiceWorkerGlobalScope, notification: Notification): Promise<void> {
  notification.close();
  const { path, session } = (notification.data ?? {}) as Partial<Kept>;
  const target = within(worker, path ?? "/");
  const windows = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const open =
    windows.find((page) => session && isOn(page, session)) ?? windows.find((page) => page.focused) ?? windows[0];
  await count(worker);
  if (!open) {
    await worker.clients.openWindow(target);
    return;
  }
  open.postMessage({ type: "go", path: target } satisfies Said);
  await open.focus();
}

/** The browser gave the device another address: the pages say it to the server, now or when one is opened next. */
async function subscribedAnew(worker: ServiceWorkerGlobalScope, old: PushSubscription | null): Promise<void> {
  const { pushManager } = worker.registration;
  if (!(await pushManager.getSubscription())) {
    const key = old?.options.applicationServerKey;
    if (key) await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  }
  for (const page of await worker.clients.matchAll({ type: "window" })) {
    page.postMessage({ type: "subscribed" } satisfies Said);
  }
}

/** Have the console's icon say how many notices are shown, where there is one. */
async function count(worker: ServiceWorkerGlobalScope): Promise<void> {
  const { navigator } = worker as unknown as { navigator: { setAppBadge?: (count: number) => Promise<void> } };
  try {
    await navigator.setAppBadge?.((await worker.registration.getNotifications()).length);
  } catch {
    // Not every system that has the function has icons to put a number on: a decoration then.
  }
}

async function looksAt(worker: ServiceWorkerGlobalScope, session: string): Promise<boolean> {
  if (!session) return false;
  const windows = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  return windows.some((page) => page.focused && page.visibilityState === "visible" && isOn(page, session));
}

function isOn(page: WindowClient, session: string): boolean {
  return new URL(page.url).pathname === `/s/${session}`;
}

/** A path of this console, `/` for whatever is none. */
function within(worker: ServiceWorkerGlobalScope, path: string): string {
  const { origin } = worker.location;
  try {
    const url = new URL(path, origin);
    const known = url.pathname === "/" || url.pathname.startsWith("/s/");
    return url.origin === origin && known ? url.pathname + url.search : "/"; // Invariant 3.
  } catch {
    return "/";
  }
}

function parsed(data: PushMessageData | null): { readonly [name: string]: unknown } {
  try {
    const said: unknown = data?.json();
    return typeof said === "object" && said !== null ? (said as { readonly [name: string]: unknown }) : {};
  } catch {
    return {};
  }
}

/** What was told. A push has to show something, so what is not understood is shown without words. */
function read(said: { readonly [name: string]: unknown }): Told {
  const text = (name: string, other = "") => (typeof said[name] === "string" ? said[name] : other);
  return {
    id: text("id"),
    session: text("session"),
    title: text("title", "Something is new"),
    text: text("text"),
    path: text("path", "/"),
    tag: text("tag"),
  };
}
