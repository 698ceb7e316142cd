/**
 * The service worker: the console's files, kept so that it starts without a network, or behind one that lies.
 *
 * 1. What belongs to one build is kept together and comes from one cache: a page never gets half of another one.
 * 2. Nothing under `/v1/` is touched: what people wrote is kept by the page's own store.
 * 3. What not every visit needs, such as SQLite for the search, is no part of the shell: it is kept once it was used.
 */

/// <reference lib="webworker" />

import type { Asked } from "./push/said.js";
import { takePushes } from "./push/worker.js";

declare const self: ServiceWorkerGlobalScope;
/** The paths of this build, put in when it is built. */
declare const __SHELL__: readonly string[];

const SHELL = __SHELL__;
const PREFIX = "shell ";
const CACHE = PREFIX + hash(SHELL.join(" "));

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      // Past the browser's own cache: what is stored here is what the server has now.
      await cache.addAll(SHELL.map((path) => new Request(path, { cache: "reload" })));
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
      // Pages of the build before may still be open and want one of its files.
      await Promise.all(old.slice(0, -1).map((name) => caches.delete(name)));
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("message", (event) => {
  if ((event.data as Asked | null)?.type === "claim") event.waitUntil(self.clients.claim());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin || url.pathname.startsWith("/v1/")) return;
  const page = request.mode === "navigate" && (url.pathname === "/" || url.pathname.startsWith("/s/"));
  if (page) event.respondWith(kept("/", request));
  else if (SHELL.includes(url.pathname)) event.respondWith(kept(url.pathname, request));
  else if (url.pathname.startsWith("/assets/")) event.respondWith(keptOnceUsed(url.pathname, request));
});

takePushes(self);

/** What is kept of this build, else of another one, else what the server says. */
async function kept(path: string, request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  return (await cache.match(path)) ?? (await caches.match(path)) ?? fetch(request);
}

/** The same for a file with a hash in its name, which is kept from now on. Invariant 3. */
async function keptOnceUsed(path: string, request: Request): Promise<Response> {
  const response = await kept(path, request);
  const cache = await caches.open(CACHE);
  // Its headers too: what a worker may do stands there.
  if (response.status === 200 && !(await cache.match(path))) await cache.put(path, response.clone());
  return response;
}

/** A short name for a list of paths: they have hashes in them, so another build has another. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return (value >>> 0).toString(36);
}
