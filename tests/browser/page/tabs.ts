// A page with one client of the library, for what happens between tabs, networks and servers.

import { Client } from "../../../web_client/src/client.js";
import type { ClientOptions } from "../../../web_client/src/client.js";
import type { ReplicaChange } from "../../../web_client/src/replica.js";

interface Said {
  readonly token?: string;
  readonly store?: string;
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
    start: (said?: Said) => Promise<void>;
    write: (text: string) => Promise<string>;
    type: (prefix: string) => Promise<void>;
    texts: () => string[];
    look: () => Record<string, unknown>;
  }
}

let session: Awaited<ReturnType<Client["open"]>>;
let replica: Awaited<ReturnType<Client["replica"]>>;

/** Make the client, and open the session `trip` in it. With `window.fresh` the token is fetched by that. */
window.start = async ({ token = "dev:ana", store, timing } = {}) => {
  const { fresh } = window;
  window.client = new Client({
    token: fresh === undefined ? token : () => fresh(),
    timing: { backoff: 50, backoffMax: 400, ...timing },
    ...(store === undefined ? {} : { store }),
  });
  window.told = [];
  session = await window.client.open("trip");
  replica = await window.client.replica("trip");
  replica.listen((change) => window.told.push(change));
};

/** Post a message; resolve when it is saved. */
window.write = async (text) => {
  const message = await session.post(text);
  await window.saved?.(text);
  return message.id;
};

/** Post one message after the other, and never stop. */
window.type = async (prefix) => {
  for (let number = 0; ; number += 1) await window.write(`${prefix}${number}`);
};

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
  session: () => session,
  replica: () => replica,
});
