/** The account: who this browser is, kept over reloads. Its token is all there is: no cookie, no password. */

import { nameOf } from "./names.js";

const STORED = "syncd:account";

export interface Account {
  /** Such as `user:mona`. */
  readonly subject: string;
  readonly name: string;
  readonly token: string;
}

/** Who is signed in; null for nobody. */
export function stored(): Account | null {
  const kept = localStorage.getItem(STORED);
  return kept === null ? null : fromToken(kept);
}

export function keep(account: Account): void {
  localStorage.setItem(STORED, account.token);
}

export function forget(): void {
  localStorage.removeItem(STORED);
}

/** The account of a server in development mode: a name is enough. Null for what is no name. */
export function fromName(name: string): Account | null {
  const word = name.trim().toLowerCase().replace(/\s+/g, "-");
  return /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,62}$/u.test(word) ? fromToken(`dev:${word}`) : null;
}

/**
 * The account that a token is of, as the token says itself: what it may do the server decides. Null for what is no
 * token.
 */
export function fromToken(token: string): Account | null {
  const dev = /^dev:(.+)$/.exec(token);
  if (dev) {
    const subject = dev[1]!.includes(":") ? dev[1]! : `user:${dev[1]}`;
    return { subject, name: nameOf(subject), token };
  }
  const claims = claimsOf(token);
  const subject = claims?.["sub"];
  if (typeof subject !== "string" || !subject.includes(":")) return null;
  const name = claims?.["name"];
  return { subject, name: typeof name === "string" && name ? name : nameOf(subject), token };
}

/** The name of this person's store in this browser. */
export function storeOf({ subject }: Account): string {
  return `syncd ${subject}`;
}

function claimsOf(token: string): { readonly [claim: string]: unknown } | null {
  const body = token.split(".")[1];
  if (!body) return null;
  try {
    const bytes = Uint8Array.from(atob(body.replace(/-/g, "+").replace(/_/g, "/")), (unit) => unit.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && claims !== null ? (claims as { [claim: string]: unknown }) : null;
  } catch {
    return null;
  }
}
