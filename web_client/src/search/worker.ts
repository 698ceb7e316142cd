/**
 * Worker: SQLite, for the one tab that holds the search copy, and for writing downloads. Asked by messages, answers each.
 *
 * The entry of a dedicated worker; nothing imports it. SQLite is loaded at the first question that needs it.
 */

import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { exported } from "./export.js";
import { Pool, asUnanswered } from "./pool.js";
import { Unanswered } from "./requests.js";
import type { Reply, WorkerAsk } from "./requests.js";

const scope = self as unknown as DedicatedWorkerGlobalScope;
// The file systems that want cross-origin isolation are not used here.
Object.assign(scope, { sqlite3ApiConfig: { disable: { vfs: { opfs: true, "opfs-vfs": true, "opfs-wl": true } } } });

let loading: Promise<Sqlite3Static> | null = null;
let pool: Pool | null = null;
/** Questions are answered one after the other. */
let last: Promise<void> = Promise.resolve();

scope.onmessage = (event: MessageEvent<{ id: number; ask: WorkerAsk }>) => {
  const { id, ask } = event.data;
  last = last.then(async () => {
    const reply = await answer(ask);
    const bytes = reply.ok && reply.value instanceof Uint8Array ? [reply.value.buffer] : [];
    scope.postMessage({ id, reply }, bytes as Transferable[]);
  });
};

async function answer(ask: WorkerAsk): Promise<Reply> {
  try {
    return { ok: true, value: await handle(ask) };
  } catch (error) {
    const { code, message } = asUnanswered(error);
    return { ok: false, code, reason: message };
  }
}

async function handle(ask: WorkerAsk): Promise<unknown> {
  switch (ask.kind) {
    case "open":
      pool = await Pool.open(await sqlite3(), ask.name);
      return pool.isFresh;
    case "close":
      pool?.close();
      pool = null;
      return null;
    case "export":
      return exported(await sqlite3(), ask.content);
    default:
      if (pool === null) throw new Unanswered("gone", "the search copy is not open");
      return pool.answer(ask);
  }
}

async function sqlite3(): Promise<Sqlite3Static> {
  try {
    return await (loading ??= sqlite3InitModule());
  } catch (error) {
    loading = null;
    throw new Unanswered("no-wasm", `SQLite could not be loaded: ${error instanceof Error ? error.message : error}`);
  }
}
