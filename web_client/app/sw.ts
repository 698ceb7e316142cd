/**
 * The service worker: the console's files, kept so that it starts without a network, or behind one that lies.
 *
 * 1. What belongs to one build is kept together and comes from one cache: a page never gets half of another one.
 * 2. Nothing under `/v1/` is touched: what people wrote is kept by the page's own store.
 * 3. What not every visit needs, such as SQLite for the search, is no part of the shell: it is kept once it was used.
 * 4. Nothing is believed because it came: networks answer with pages of their own. What is no file of the console is not
 *    kept, and where it was, by a worker of before, it is had anew.
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
      const shell = await Promise.all(SHELL.map(async (path) => [path, await had(path)] as const));
      const cache = await caches.open(CACHE);
      await Promise.all(shell.map(([path, response]) => cache.put(path, response)));
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
  else if (SHELL.includes(url.pathname) || isAsset(url.pathname)) event.respondWith(kept(url.pathname, request));
});

takePushes(self);

/** What the server has now, whole: past the browser's own cache. Throws: something else answered. */
async function had(path: string): Promise<Response> {
  const response = await fetch(path, { cache: "reload" });
  if (!(await isRight(path, response))) throw new Error(`what came as ${path} is no file of the console`);
  await response.clone().arrayBuffer();
  return response;
}

/** What is kept of this build, else of another one, else what the server says. Invariants 3 and 4. */
async function kept(path: string, request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const own = await cache.match(path);
  if (own && (await isRight(path, own))) return own;
  let response = await caches.match(path);
  if (!response || !(await isRight(path, response))) response = await fetch(request);
  // With a hash in its name it is the same in all builds. Its headers too: what a worker may do stands there.
  if (isAsset(path) && (await isRight(path, response))) await cache.put(path, response.clone());
  return response;
}

function isAsset(path: string): boolean {
  return path.startsWith("/assets/");
}

/** Whether a response is what the console has at `path`, as far as that can be seen. Invariant 4. */
async function isRight(path: string, response: Response): Promise<boolean> {
  if (response.status !== 200 || response.redirected) return false;
  if (path === "/") return (await response.clone().text()).includes('src="/assets/');
  const type = response.headers.get("content-type") ?? "";
  if (path.endsWith(".js")) return type.includes("javascript");
  return path.endsWith(".css") ? type.includes("css") : !type.includes("html");
}

/** A short name for a list of paths: they have hashes in them, so another build has another. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return (value >>> 0).toString(36);
}
