// A page with a search copy: over sessions that are plain lists, or over a client of the library.

import * as Y from "yjs";
import { Client } from "../../../web_client/src/client.js";
import { SearchCopy, contentOf, contentsOf, leadershipOf } from "../../../web_client/src/search/index.js";
import type { Searchable, SearchHit, SearchStatus } from "../../../web_client/src/search/index.js";
import workerUrl from "../../../web_client/src/search/worker.ts?worker&url";

type Given = Partial<Searchable> & { id: string };

// One session of the page: what the search sees of it.
class Listed {
  #messages: readonly Searchable[] = [];
  readonly #listeners = new Set<() => void>();

  constructor(readonly id: string) {}

  messages(): readonly Searchable[] {
    return this.#messages;
  }

  message(id: string): Searchable | null {
    return this.#messages.find((message) => message.id === id) ?? null;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Put messages in, in place of those of the same ids; without a text they go. */
  set(given: readonly Given[]): void {
    const all = new Map(this.#messages.map((message) => [message.id, message]));
    for (const one of given) {
      const defaults = { seq: all.size + 1, by: "user:mona", text: "", createdAt: 1000 + all.size, streaming: false };
      const message = { ...defaults, ...one };
      if (message.text === "") all.delete(one.id);
      else all.set(one.id, message);
    }
    this.#messages = Array.from(all.values());
    for (const listener of this.#listeners) listener();
  }
}

const sessions = new Map<string, Listed>();
const transcript = new Y.Doc();
const state = new Y.Doc();
let copy: SearchCopy;
let client: Client;
const forever = new AbortController();

// Put messages into a session; a new one is attached with them.
function set(id: string, given: readonly Given[]): void {
  const found = sessions.get(id) ?? new Listed(id);
  found.set(given);
  if (!sessions.has(id)) copy.attach(found);
  sessions.set(id, found);
}

const LATIN = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore".split(" ");

const asked: Record<string, number> = {};
const post = Worker.prototype.postMessage;
Worker.prototype.postMessage = function (this: Worker, message: { ask: { kind: string } }): void {
  asked[message.ask.kind] = (asked[message.ask.kind] ?? 0) + 1;
  post.call(this, message);
};

const page = {
  // With `always`, this tab tries to hold the copy whoever else does.
  start(store = "search", always = false): void {
    const begin = { leadership: (lead: (term: AbortSignal) => void) => (lead(forever.signal), () => forever.abort()) };
    copy = new SearchCopy({
      store,
      workerUrl,
      ...(always ? begin : {}),
      content: (id) => contentOf(id, transcript, state, 1_764_000_000_000),
    });
    copy.start();
  },
  // The same over a client of the library, with the session `trip` open, as an app puts them together.
  async startClient(): Promise<void> {
    client = new Client({ token: "dev:mona", store: "mona" });
    copy = new SearchCopy({
      store: client.storeName,
      workerUrl,
      leadership: leadershipOf(client),
      content: contentsOf(client),
    });
    copy.start();
    copy.attach(await client.open("trip"));
  },
  leads: (): boolean => client.leads,
  async post(text: string): Promise<void> {
    const session = await client.open("trip");
    await (await session.post(text)).synced();
    await session.close();
  },

  status: (): SearchStatus => copy.status,
  set,
  put: (id: string, given: readonly Searchable[]): void => copy.put(id, given),
  settled: (): Promise<boolean> => copy.settled(),
  search: (query: string, of?: { session?: string; limit?: number }): Promise<SearchHit[]> => copy.search(query, of),
  remove: (id: string): Promise<void> => copy.remove(id),
  close: (): Promise<void> => copy.close(),

  // Some `count` messages of 50 words, each with a word of its own.
  many(id: string, count: number): void {
    const given = Array.from({ length: count }, (_, nth) => ({
      id: `m${nth}`,
      text: `unique${nth} ${Array.from({ length: 50 }, (_, at) => LATIN[(nth * 7 + at * (nth % 11)) % LATIN.length]).join(" ")}`,
    }));
    set(id, given);
  },

  // How often this tab's workers were asked for what, by kind.
  asked: (): Record<string, number> => asked,

  // The bytes of the copy's files; with `spoil`, each is overwritten from its second page on.
  async files(store = "search", spoil = false): Promise<string> {
    const root = await navigator.storage.getDirectory();
    const folder = await (await root.getDirectoryHandle(`syncd-search-${store}`)).getDirectoryHandle(".opaque");
    let all = "";
    for await (const handle of folder.values() as AsyncIterable<FileSystemFileHandle>) {
      const file = await handle.getFile();
      all += new TextDecoder("latin1").decode(await file.arrayBuffer());
      if (!spoil || file.size <= 8192) continue;
      const writing = await handle.createWritable({ keepExistingData: true });
      await writing.write({ type: "write", position: 8192, data: new Uint8Array(file.size - 8192).fill(0x5a) });
      await writing.close();
    }
    return all;
  },

  // Write what a session may hold into the documents.
  write(update: { transcript: Record<string, Record<string, unknown>>; state: Record<string, Record<string, unknown>> }) {
    for (const [document, roots] of [
      [transcript, update.transcript],
      [state, update.state],
    ] as const) {
      for (const [root, entries] of Object.entries(roots)) {
        for (const [key, value] of Object.entries(entries)) document.getMap(root).set(key, shared(value));
      }
    }
  },

  // A session's download, in base64.
  async download(id: string): Promise<string> {
    const bytes = new Uint8Array(await (await copy.download(id)).arrayBuffer());
    let binary = "";
    for (const byte of bytes) binary += String.fromCharCode(byte);
    return btoa(binary);
  },
};

// `{"$map": …}`, `{"$array": …}` and `{"$text": …}` become types of Yjs.
function shared(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  const given = value as { $map?: Record<string, unknown>; $array?: unknown[]; $text?: string };
  if (given.$map) return new Y.Map(Object.entries(given.$map).map(([key, inner]) => [key, shared(inner)]));
  if (given.$array) return Y.Array.from(given.$array.map(shared));
  if (given.$text !== undefined) return new Y.Text(given.$text);
  return value;
}

declare global {
  interface Window {
    search: typeof page;
  }
}
window.search = page;
