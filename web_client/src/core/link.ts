/**
 * Link: the one WebSocket to the server, made again whenever it ends.
 *
 * Knows hello and welcome, tokens, time and back-off. Knows nothing of sessions, stores or tabs.
 */

import { decodeServer, encode } from "./codec.js";
import { RemoteProtocolError } from "./errors.js";
import type { ClientMessage, ServerMessage, Welcome } from "./messages.js";
import { OFFLINE } from "./status.js";
import type { Status } from "./status.js";
import type { Timing } from "./timing.js";

/** A token, or what returns one: asked before every connect and before it expires. None: a server for development. */
export type Token = string | (() => string | Promise<string>) | undefined;

export interface LinkHost {
  readonly device: string;
  token(): Promise<string>;
  /** Whether `token` may return another one when asked again. */
  readonly renews: boolean;
  /** The link is live. What it throws ends the link, and it is not made again: the status says why. */
  up(welcome: Welcome): void;
  /** The link is gone, or an attempt failed. Told before each wait. */
  down(): void;
  receive(message: ServerMessage): void;
  stands(status: Status): void;
}

/** Why the server is not to be asked again as things stand. */
export class Refusal extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

interface End {
  readonly code: number;
  readonly reason: string;
  readonly retryAfterMs: number;
  readonly refused: boolean;
}

type Timer = "retry" | "deadline" | "ping" | "refresh";

const PROTOCOL = "syncd.v1";
const AGENT = "syncd-js/0.1.0";
const REFRESH_BEFORE_MS = 60_000;
const REFRESH_AGAIN_MS = 2_000;
/** What a server says beyond these is not believed. */
const HEARTBEAT_MS = [100, 120_000] as const;
const TOKEN_EXPIRED = 4001;
const TOKEN_CODES = new Set([4401, 4411]);

/** Whether a close code says not to come back before something changed. PROTOCOL 6. */
export const isRefusal = (code: number): boolean => code >= 4400 && code < 4500;

/** How long to wait before attempt number `attempt`, from 0: with jitter, so that many do not come back at once. */
export function backoffMs(attempt: number, timing: Timing): number {
  return (0.5 + Math.random() / 2) * Math.min(timing.backoffMax, timing.backoff * 2 ** Math.min(attempt, 10));
}

/**
 * The link of one device, while its tab leads.
 *
 * 1. Connecting has a deadline, and so has every silence: a black hole is noticed within a heartbeat and a half.
 * 2. What ends by itself comes back by itself, with back-off and jitter, until the server says not to.
 * 3. A token function is asked again rather than a token used again that was refused.
 * 4. Lengths of time are measured on the clock that only goes forward; the wall clock may be wrong by years.
 * 5. `online` and the like are hints to look sooner, never a reason to wait.
 */
export class Link {
  status: Status = OFFLINE;
  readonly #url: string;
  readonly #host: LinkHost;
  readonly #timing: Timing;
  #socket: WebSocket | null = null;
  #live = false;
  #stopped = true;
  /** Attempts that failed in a row; refusals in a row; when the present attempt began. */
  #attempt = 0;
  #refusals = 0;
  #began = 0;
  /** Counts attempts. */
  #life = 0;
  #bye: End | null = null;
  #heartbeatMs = 20_000;
  #expiresAt = 0;
  #nonce = 0;
  #heardAt = 0;
  #timers = { retry: 0, deadline: 0, ping: 0, refresh: 0 };

  constructor(url: string, host: LinkHost, timing: Timing) {
    this.#url = `${url.replace(/\/+$/, "").replace(/^http/, "ws")}/v1/sync`;
    this.#host = host;
    this.#timing = timing;
  }

  get live(): boolean {
    return this.#live;
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    void this.#connect();
  }

  /** End it, and do not come back. */
  stop(): void {
    this.#stopped = true;
    this.#clear();
    this.#drop();
    this.#live = false;
  }

  /** Try now, also after a refusal: something changed. */
  retry(): void {
    if (this.#stopped || this.#live) return;
    this.#attempt = this.#refusals = 0;
    this.#clear();
    this.#drop();
    void this.#connect();
  }

  /** End the link and make it anew: the token is another. */
  again(): void {
    if (this.#stopped) return;
    const wasLive = this.#live;
    this.#live = false;
    if (wasLive) {
      this.#host.down();
      this.#set({ ...OFFLINE, link: "reconnecting" }); // What was asked on the one before is asked again on the next.
    }
    this.retry();
  }

  /** There is reason to think that the network is back, or gone. */
  hint(): void {
    if (this.#stopped || this.status.link === "refused") return;
    if (this.#live) this.#doubt(this.#timing.doubt);
    else if (this.#timers.retry !== 0) this.retry();
  }

  send(messages: Iterable<ClientMessage>): void {
    if (!this.#live) return;
    for (const message of messages) this.#socket?.send(frame(message));
  }

  async #connect(): Promise<void> {
    this.#began = performance.now();
    this.#bye = null;
    const life = (this.#life += 1);
    // Of an attempt that was given up, nothing counts any more.
    const given = (): boolean => this.#stopped || this.#life !== life;
    this.#after("deadline", this.#timing.connect, () => this.#ended(lost("the server does not answer"))); // Invariant 1.
    let token: string;
    try {
      token = await this.#host.token();
    } catch (error) {
      if (!given()) this.#ended(lost(`no token: ${error instanceof Error ? error.message : String(error)}`));
      return;
    }
    if (given()) return;
    const socket = (this.#socket = new WebSocket(this.#url, PROTOCOL));
    socket.binaryType = "arraybuffer";
    socket.onopen = () =>
      socket.send(frame({ kind: "Hello", versions: [1], token, device: this.#host.device, agent: AGENT }));
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (this.#socket === socket) this.#heard(event.data);
    };
    socket.onclose = (event) => {
      if (this.#socket === socket) this.#ended(this.#bye ?? closed(event));
    };
  }

  #heard(data: unknown): void {
    this.#heardAt = performance.now();
    try {
      if (!(data instanceof ArrayBuffer)) throw new RemoteProtocolError(4400, "a frame of text");
      const message = decodeServer(new Uint8Array(data));
      if (message.kind === "Bye") {
        const { code, reason } = message;
        this.#bye = { code, reason, retryAfterMs: message.retryAfterS * 1_000, refused: isRefusal(code) };
      } else if (message.kind === "Welcome") this.#welcomed(message);
      else if (!this.#live) throw new RemoteProtocolError(4400, "no welcome");
      else if (message.kind !== "Pong" && message.kind !== "Unknown") {
        if (message.kind === "Refreshed") this.#lives(message.expiresAt - this.#serverNow());
        this.#host.receive(message);
      }
    } catch (error) {
      if (error instanceof Refusal) {
        this.#ended({ code: error.code, reason: error.message, retryAfterMs: 0, refused: true });
      } else if (error instanceof RemoteProtocolError) {
        this.#ended({
          code: error.close,
          reason: `the server sent what this version cannot read: ${error.message}`,
          retryAfterMs: 0,
          refused: true,
        });
      } else throw error;
    }
  }

  #serverOffset = 0;

  /** The server's clock, in s. Invariant 4. */
  #serverNow(): number {
    return performance.now() / 1_000 + this.#serverOffset;
  }

  #welcomed(welcome: Welcome): void {
    this.#clear();
    this.#serverOffset = welcome.now - performance.now() / 1_000;
    this.#heartbeatMs = Math.min(Math.max(welcome.heartbeatS * 1_000, HEARTBEAT_MS[0]), HEARTBEAT_MS[1]);
    this.#live = true;
    try {
      this.#host.up(welcome);
    } catch (error) {
      this.#live = false;
      throw error;
    }
    this.#set({ ...OFFLINE, link: "live" });
    this.#ping();
    if (welcome.expiresAt > 0) this.#lives(welcome.expiresAt - welcome.now);
  }

  /** The token ends in `leftS`: have another before that. */
  #lives(leftS: number): void {
    this.#expiresAt = leftS > 0 ? performance.now() + leftS * 1_000 : 0;
    if (!this.#host.renews) return;
    const leftMs = leftS * 1_000;
    this.#after("refresh", Math.max(leftMs - REFRESH_BEFORE_MS, leftMs * 0.5), () => void this.#refresh());
  }

  async #refresh(): Promise<void> {
    const life = this.#life;
    try {
      const token = await this.#host.token();
      if (this.#live && this.#life === life) this.send([{ kind: "Refresh", token }]);
    } catch {
      // The link lives on with the token it has; when that ends, the close says so.
      if (this.#live && this.#life === life && performance.now() < this.#expiresAt) {
        this.#after("refresh", REFRESH_AGAIN_MS, () => void this.#refresh());
      }
    }
  }

  #ping(): void {
    this.#after("ping", this.#heartbeatMs, () => {
      this.#doubt(this.#heartbeatMs / 2);
      this.#ping();
    });
  }

  /** Ask for a sign of life. */
  #doubt(withinMs: number): void {
    const asked = performance.now();
    this.send([{ kind: "Ping", nonce: (this.#nonce += 1) }]);
    this.#after("deadline", withinMs, () => {
      if (this.#heardAt < asked) this.#ended(lost("the server went silent"));
    });
  }

  #ended(end: End): void {
    const wasLive = this.#live;
    const held = performance.now() - this.#began > this.#timing.stable && wasLive;
    this.#live = false;
    this.#life += 1;
    this.#clear();
    this.#drop();
    if (held) this.#attempt = 0;
    let { refused, reason } = end;
    if (end.code === TOKEN_EXPIRED && !this.#host.renews) {
      refused = true;
      reason = "the token expired: give the client a fresh one";
    } else if (TOKEN_CODES.has(end.code) && this.#host.renews && this.#refusals === 0) {
      refused = false; // Invariant 3.
    }
    this.#refusals = isRefusal(end.code) ? this.#refusals + 1 : held ? 0 : this.#refusals;
    this.#attempt += 1;
    const link = refused ? "refused" : wasLive ? "reconnecting" : "offline";
    if (!this.#stopped && !refused) {
      const wait = end.retryAfterMs + backoffMs(this.#attempt - 1, this.#timing);
      this.#after("retry", wait, () => void this.#connect()); // Invariant 2.
    }
    this.#host.down();
    this.#set({ link, code: end.code, reason, storageFull: false, attempts: this.#attempt });
  }

  #set(status: Status): void {
    this.status = status;
    this.#host.stands(status);
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  #after(timer: Timer, ms: number, act: () => void): void {
    const timers = this.#timers;
    clearTimeout(timers[timer]);
    timers[timer] = setTimeout(
      () => {
        timers[timer] = 0;
        act();
      },
      Math.min(ms, 0x7fff_ffff),
    ) as unknown as number;
  }

  #clear(): void {
    for (const timer of Object.keys(this.#timers) as Timer[]) {
      clearTimeout(this.#timers[timer]);
      this.#timers[timer] = 0;
    }
  }
}

function frame(message: ClientMessage): Uint8Array<ArrayBuffer> {
  return encode(message) as Uint8Array<ArrayBuffer>; // Of no memory that workers share.
}

function lost(reason: string): End {
  return { code: 0, reason, retryAfterMs: 0, refused: false };
}

function closed(event: CloseEvent): End {
  // A browser does not tell why a link could not be made, so that pages cannot look around in networks.
  const known = (event.code >= 4000 && event.code < 4500) || event.code === 1009 || event.code === 1013;
  const code = known ? event.code : 0;
  return { code, reason: event.reason || "the link ended", retryAfterMs: 0, refused: isRefusal(code) };
}
