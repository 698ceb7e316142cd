// A page of React itself: a session in components on the library's hooks.

import * as React from "react";
import { createRoot } from "react-dom/client";
import type { Root } from "react-dom/client";
import { Client } from "../../../web_client/src/client.js";
import { makeHooks } from "../../../web_client/src/hooks.js";
import type { Session } from "../../../web_client/src/session.js";

const { useSession, useView, useRun, usePresence, useRead } = makeHooks(React);
const { createElement } = React;

interface Shown {
  readonly client: Client;
  readonly id: string;
  readonly run: string;
}

const seen = { draws: 0, frames: 0 };
let session: Session | null = null;
let client: Client;
let root: Root | null = null;

function Chat({ client, id, run }: Shown) {
  const opened = useSession(client, id);
  session = opened.session;
  const { items } = useView(opened.session, { page: 100 });
  const here = usePresence(opened.session);
  const status = useRun(opened.session, run)?.status ?? "none";
  seen.draws += 1;
  return createElement(
    "main",
    null,
    items.map(({ message }) => createElement("p", { key: message.id }, message.text)),
    createElement("aside", null, here.map((entry) => String(entry.subject)).join()),
    createElement("output", null, status),
    opened.session && createElement(Pill, { session: opened.session }),
  );
}

function Pill({ session }: { session: Session }) {
  return createElement("strong", null, useRead(session, (read) => read.status.link));
}

function count(): void {
  seen.frames += 1;
  requestAnimationFrame(count);
}
requestAnimationFrame(count);

Object.assign(window, {
  seen,
  start(token: string) {
    client = new Client({ token });
  },
  /** Draw the session; in strict mode every component is begun twice. */
  mount(id: string, run = "", strict = false) {
    const place = document.body.appendChild(document.createElement("div"));
    const chat = createElement(Chat, { client, id, run });
    root = createRoot(place);
    root.render(strict ? createElement(React.StrictMode, null, chat) : chat);
  },
  unmount() {
    root?.unmount();
  },
  /** Post many at once; resolve when all are saved. */
  post: (texts: string[]) => Promise.all(texts.map((text) => session!.post(text))).then(() => {}),
  session: () => session,
  texts: () => Array.from(document.querySelectorAll("main p"), (one) => one.textContent),
  text: (what: string) => document.querySelector(what)?.textContent ?? null,
});
