/** Installing: the service worker that lets the console start without a network, and tells what happens meanwhile. */

import type { Asked, Said } from "./push/said.js";
import { go, routeOf } from "./routes.js";

const WORKER = "/sw.js";

interface ScriptPolicy {
  createScriptURL(url: string): string;
}

declare global {
  interface Window {
    readonly trustedTypes?: { createPolicy(name: string, rules: ScriptPolicy): ScriptPolicy };
  }
}

/** Register the worker. Without one everything works but the start without a network. */
export async function install(): Promise<void> {
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  // The page's policy lets no plain string name a script: this one name, and no other.
  const rules: ScriptPolicy = {
    createScriptURL: (url) => {
      if (url !== WORKER) throw new TypeError(`${url} is not the console's worker`);
      return url;
    },
  };
  navigator.serviceWorker.addEventListener("message", ({ data, ports }) => {
    const said = data as Said | null;
    if (said?.type === "go") go(said.path);
    if (said?.type === "where") ports[0]?.postMessage(routeOf(location).session);
  });
  const policy = window.trustedTypes?.createPolicy("worker", rules) ?? rules;
  try {
    await navigator.serviceWorker.register(policy.createScriptURL(WORKER));
    await charged();
    // The copies may be all there is of what was written without a network: the browser is asked not to drop them.
    await navigator.storage?.persist?.();
  } catch (error) {
    console.warn("the console will not start without a network here:", error);
  }
}

/** Resolves when a worker is active. One that becomes so leaves out the pages that are loading: it is asked again. */
async function charged(): Promise<void> {
  const { active } = await navigator.serviceWorker.ready;
  if (!navigator.serviceWorker.controller) active?.postMessage({ type: "claim" } satisfies Asked);
}
