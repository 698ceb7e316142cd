// A page with one client of the library, for what happens between tabs, networks and servers.

import { Client } from "../../../web_client/src/client.js";
import type { ClientOptions } from "../../../web_client/src/core/client.js";
import { Lead } from "../../../web_client/src/core/lead.js";
import searchWorker from "../../../web_client/src/search/worker.ts?worker&url";
import type { ReplicaChange } from "../../../web_client/src/core/replica.js";

interface Said {
  /** Give the client a worker for its search. */
  readonly index?: boolean;
  readonly token?: string;
  readonly session?: string;
  readonly timing?: ClientOptions["timing"];
}

declare global {
  interface Window {
    client: Client;
    /** What the session told since the page was loaded. */
    told: ReplicaChange[];
    /** Collected by the test, where it asked for it. */
    saved?: (text: string) => Promise<void>;
    fresh?: () => Promise<string>;
    deaf?: boolean;
    mute?: boolean;
    start: (said?: Said) => Promise<void>;
    write: (text: string) => Promise<string>;
    type: (prefix: string) => Promise<void>;
    stop: () => void;
    midWrite: () => Promise<void>;
    texts: () => string[];
    look: () => Record<string, unknown>;
  }
}

// What a tab does not hear that is asleep, and does not say that dies: switched by the test.
const Channel = globalThis.BroadcastChannel ?? class {}; // A test may have taken it away.
const { onmessage } = Object.getOwnPropertyDescriptors(Channel.prototype);
Object.defineProperty(Channel.prototype, "onmessage", {
  set(this: BroadcastChannel, hear: (event: MessageEvent) => void) {
    onmessage?.set?.call(this, (event: MessageEvent) => window.deaf || hear(event));
  },
});
const { postMessage } = Channel.prototype;
Channel.prototype.postMessage = function (message) {
  if (!window.mute) postMessage.call(this, message);
};

// Nor does one that is asleep look after its leader: with what it was not told it would take over, and read it all.
Object.defineProperty(document, "hidden", { get: () => window.deaf ?? false });

let session: Awaited<ReturnType<Client["open"]>>;
let replica: Awaited<ReturnType<Client["replica"]>>;

/** Make the client, and open a session in it, `trip` unless another is said. With `window.fresh` the token is fetched by that. */
window.start = async ({ token = "dev:ana", session: id = "trip", timing, index = false } = {}) => {
  const { fresh } = window;
  window.client = new Client({
    token: fresh === undefined ? token : () => fresh(),
    timing: { backoff: 50, backoffMax: 400, ...timing },
    ...(index ? { searchWorker } : {}),
  });
  window.told = [];
  session = await window.client.open(id);
  replica = await window.client.replica(id);
  replica.listen((change) => window.told.push(change));
};

/** Post a message; resolve when it is saved. */
window.write = async (text) => {
  const message = await session.post(text);
  await window.saved?.(text);
  return message.id;
};

let typing = false;

/** Post one message after the other, until `stop`. */
window.type = async (prefix) => {
  typing = true;
  for (let number = 0; typing; number += 1) await window.write(`${prefix}${number}`);
};

window.stop = () => {
  typing = false;
};

/** Resolve in the middle of the next write that goes on from an answer: before it does. */
window.midWrite = () =>
  new Promise((resolve) => {
    const { get } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.get = function (key) {
      const asked = get.call(this, key);
      if (this.transaction.mode === "readwrite") {
        IDBObjectStore.prototype.get = get;
        asked.addEventListener("success", () => resolve());
      }
      return asked;
    };
  });

window.texts = () => session.messages().map((message) => message.text);

window.look = () => ({
  texts: window.texts(),
  unsynced: session.unsynced,
  link: session.status.link,
  reason: session.status.reason,
  client: window.client.status.link,
  leads: window.client.leads,
  subject: session.subject,
});

Object.assign(window, {
  // Named, or it would not be loaded with the page: what becomes of a page that is half loaded is not tested here.
  Lead,
  session: () => session,
  replica: () => replica,
});
