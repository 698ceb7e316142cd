/** The server's REST routes that the console uses, and what they answer. Everything else goes over the link. */

import type { Json } from "../../src/core/messages.js";
import { SyncdError } from "../../src/core/errors.js";

/** How long a request may take before the network counts as gone, milliseconds. */
const TIMEOUT_MS = 10_000;

/** What the page is told before anybody signed in. */
export interface ServerInfo {
  readonly dev: boolean;
  readonly demo: string | null;
  readonly version: string;
  /** Whether people can be told on their devices what they were not there for. */
  readonly push: boolean;
}

export interface Hit {
  readonly session: string;
  readonly message: string;
  /** Around what was found, which stands between isolating marks. */
  readonly excerpt: string;
}

/** The server said no: `code` is stable, the message is for people and says what to do. */
export class RequestFailed extends SyncdError {
  override name = "RequestFailed";
  constructor(
    code: string,
    message: string,
    readonly status: number,
  ) {
    super(code, message);
  }
}

/** Ask the server; a network that does not answer is a `RequestFailed` too, with the status 0. */
export async function request<T>(
  path: string,
  {
    method = "GET",
    token = "",
    body,
  }: { method?: string; token?: string; body?: { readonly [key: string]: Json } } = {},
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (token) headers["Authorization"] = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    response = await fetch(path, {
      method,
      headers,
      signal,
      credentials: "omit",
      ...(body && { body: JSON.stringify(body) }),
    });
  } catch {
    throw new RequestFailed("unreachable", "The server does not answer. Try again when there is a network.", 0);
  }
  if (response.status === 204) return null as T;
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer as T;
  const error = (answer as { error?: { code?: string; message?: string; hint?: string } } | null)?.error;
  // What is no answer of ours is a portal's or a proxy's in between.
  if (!error) throw new RequestFailed("unreachable", "Something between here and the server answered in its place.", 0);
  const words = [error.message, error.hint].filter(Boolean).join(". ");
  throw new RequestFailed(error.code ?? "failed", words || `The server answered ${response.status}.`, response.status);
}

export function serverInfo(): Promise<ServerInfo> {
  return request<ServerInfo>("/v1/console");
}
