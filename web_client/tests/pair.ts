/** Pair: two people on one session, in memory. */

import { Session } from "../src/session.js";
import { MemoryReplica } from "./memory_replica.js";
import { MemoryServer } from "./memory_server.js";

export interface Pair {
  readonly server: MemoryServer;
  readonly mona: Session;
  readonly tom: Session;
  readonly monas: MemoryReplica;
  readonly toms: MemoryReplica;
}

export function pair(): Pair {
  const server = new MemoryServer();
  const monas = new MemoryReplica(server, "user:mona").connect();
  const toms = new MemoryReplica(server, "user:tom").connect();
  return { server, monas, toms, mona: new Session(monas), tom: new Session(toms) };
}

export function texts(session: Session): string[] {
  return session.messages().map((view) => view.text);
}
