/**
 * Pushes, as the service worker takes them: what the server tells is shown, replaced and taken back, and a click leads
 * to it.
 *
 * 1. What somebody looks at is not shown to them.
 * 2. A notice that comes twice makes no second noise: another one under the same tag does.
 * 3. A click leads to a page of this console and to no other, whatever the notice says.
 * 4. Where a page is it says itself: the browser knows the address that it was loaded at, and the console moves on
 *    without loading. One that does not answer is frozen, or of an older build, and shows nothing.
 * 5. Pushes are taken one after another: Chromium loses a notification that it is asked to show while it lists them.
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
/** How long a page has to say where it is, milliseconds. */
const WHERE_MS = 300;

/** Have `worker` take pushes, clicks, and subscriptions that the browser replaced. */
export function takePushes(worker: ServiceWorkerGlobalScope): void {
  let turn = Promise.resolve();
  worker.addEventListener("push", (event) => {
    const taken = turn.then(() => pushed(worker, event.data));
    turn = taken.catch(() => undefined); // Invariant 5.
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
  const pages = await consoles(worker);
  const open = (await showing(pages, session)) ?? pages.find((page) => page.focused) ?? pages[0];
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
  const seen = (await consoles(worker)).filter((page) => page.focused && page.visibilityState === "visible");
  return (await showing(seen, session)) !== undefined;
}

/** The windows that hold the console, and no other page of this server. */
async function consoles(worker: ServiceWorkerGlobalScope): Promise<WindowClient[]> {
  const windows = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  return windows.filter((page) => isConsole(new URL(page.url)));
}

/** The first of `pages` that shows a session. Invariant 4. */
async function showing(pages: readonly WindowClient[], session = ""): Promise<WindowClient | undefined> {
  if (!session) return undefined;
  const shown = await Promise.all(pages.map(whereIs));
  return pages.find((_, at) => shown[at] === session);
}

function whereIs(page: WindowClient): Promise<unknown> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    const answered = (session: unknown) => {
      clearTimeout(late);
      port1.close();
      resolve(session);
    };
    const late = setTimeout(answered, WHERE_MS, null);
    port1.onmessage = ({ data }) => answered(data);
    page.postMessage({ type: "where" } satisfies Said, [port2]);
  });
}

/** A path of this console, `/` for whatever is none. */
function within(worker: ServiceWorkerGlobalScope, path: string): string {
  const { origin } = worker.location;
  try {
    const url = new URL(path, origin);
    return url.origin === origin && isConsole(url) ? url.pathname + url.search : "/"; // Invariant 3.
  } catch {
    return "/";
  }
}

function isConsole({ pathname }: URL): boolean {
  return pathname === "/" || pathname.startsWith("/s/");
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
