/**
 * The account: who this browser is, kept over reloads: a token, or the links by which somebody came in, or both.
 *
 * There is no cookie and no password. What a token allows the server decides.
 */

import { RequestFailed } from "./api.js";
import { redeem } from "./invites.js";
import { nameOf } from "./names.js";

const STORED = "syncd:account";
/** A token is asked for anew when it has less left than this, milliseconds. */
const LEFT_MS = 120_000;
/** An invitation that is over; any other failure may pass. */
const OVER = new Set(["bad_invite", "invite_expired", "invite_revoked", "not_found"]);

export interface Account {
  /** Such as `user:mona`. */
  readonly subject: string;
  readonly name: string;
  /** The token that was signed in with; empty for a guest. */
  readonly token: string;
  /** A guest's secret, by which they are the same guest again. */
  readonly guestKey: string;
  /** Codes of the invitations that were taken up. */
  readonly codes: readonly string[];
}

/** Who is signed in; null for nobody. */
export function stored(): Account | null {
  try {
    const kept = JSON.parse(localStorage.getItem(STORED) ?? "null") as Account | null;
    return kept?.subject ? kept : null;
  } catch {
    return null;
  }
}

export function keep(account: Account): void {
  localStorage.setItem(STORED, JSON.stringify(account));
}

export function forget(): void {
  localStorage.removeItem(STORED);
}

/** The account of a server in development mode: a name is enough. Null for what is no name. */
export function fromName(name: string): Account | null {
  const word = name.trim().toLowerCase().replace(/\s+/g, "-");
  return /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,62}$/u.test(word) ? fromToken(`dev:${word}`) : null;
}

/** The account that a token is of, as the token says itself. Null for what is no token. */
export function fromToken(token: string): Account | null {
  const alone = { token, guestKey: "", codes: [] };
  const dev = /^dev:(.+)$/.exec(token);
  if (dev) {
    const subject = dev[1]!.includes(":") ? dev[1]! : `user:${dev[1]}`;
    return { subject, name: nameOf(subject), ...alone };
  }
  const claims = claimsOf(token);
  const subject = claims?.["sub"];
  if (typeof subject !== "string" || !subject.includes(":")) return null;
  const name = claims?.["name"];
  return { subject, name: typeof name === "string" && name ? name : nameOf(subject), ...alone };
}

/** Whether it is of a server in development mode, where everybody may do everything. */
export function isDev(account: Account): boolean {
  return account.token.startsWith("dev:");
}

/** Take up an invitation: as who is signed in here already, else as a guest called `name`. */
export async function join(
  code: string,
  name: string,
  account: Account | null,
): Promise<{ account: Account; session: string }> {
  const guestKey = account?.guestKey || randomKey();
  const before = account ? await tokenOf(account)() : "";
  const { session, subject, name: called } = await redeem(code, { name, guestKey, token: before });
  if (account && isDev(account)) return { account, session };
  const codes = [...(account?.codes ?? []).filter((one) => one !== code), code];
  return { account: { subject, name: called, token: account?.token ?? "", guestKey, codes }, session };
}

/** What gives a token whenever one is needed. It throws while the server that has to give it does not answer. */
export function tokenOf(account: Account): () => Promise<string> {
  let fresh = { token: "", until: 0 };
  return async () => {
    if (account.codes.length === 0) return account.token;
    if (fresh.until - Date.now() > LEFT_MS) return fresh.token;
    let { token } = account;
    let until = 0;
    // Each one adds its session to what the token before it names.
    for (const code of account.codes) {
      try {
        const given = await redeem(code, { name: account.name, guestKey: account.guestKey, token });
        token = given.token;
        until = until === 0 ? given.expiresAt : Math.min(until, given.expiresAt);
      } catch (error) {
        if (!(error instanceof RequestFailed) || !OVER.has(error.code)) throw error;
      }
    }
    fresh = { token, until };
    return token;
  };
}

/** The name of this person's store in this browser. */
export function storeOf({ subject }: Account): string {
  return `syncd ${subject}`;
}

function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, "-")
    .replace(/\//g, "_");
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
