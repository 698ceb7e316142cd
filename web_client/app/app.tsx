/** The console: who is here, and then their desk. */

import { useEffect, useState } from "preact/hooks";
import { forget, keep, onMoved, stored, type Account } from "./account/account.js";
import { serverInfo, type ServerInfo } from "./kit/api.js";
import { Desk } from "./desk.js";
import { lazy } from "./kit/lazy.js";
import { go, pathOf, useRoute } from "./routes.js";

const Join = lazy(() => import("./account/join.js").then((module) => module.Join));
const SignIn = lazy(() => import("./account/sign_in.js").then((module) => module.SignIn));

const KNOWN_INFO = "syncd:server";
/** How often a server that was never heard is asked again, milliseconds. */
const AGAIN_MS = 4000;

export function App() {
  const route = useRoute();
  const [account, setAccount] = useState<Account | null>(stored);
  const [reason, setReason] = useState("");
  const info = useServerInfo();
  useEffect(() => onMoved(() => setAccount(stored)), []);
  const signedIn = (next: Account, session: string, message = "") => {
    keep(next);
    setAccount(next);
    setReason("");
    go(pathOf(session, message), { replace: true });
  };
  if (route.invite) return <Join code={route.invite} account={account} joined={signedIn} />;
  if (account === null) {
    return (
      <SignIn
        info={info}
        reason={reason}
        signedIn={(next) => signedIn(next, route.session || (info?.demo ?? ""), route.message)}
      />
    );
  }
  return (
    <Desk
      key={JSON.stringify(account)}
      account={account}
      route={route}
      demo={info?.demo ?? null}
      push={info?.push ?? false}
      signedOut={(why) => {
        forget();
        setReason(why);
        setAccount(null);
      }}
    />
  );
}

/** What the server says of itself: as it said the last time until it answers. */
function useServerInfo(): ServerInfo | null {
  const [info, setInfo] = useState<ServerInfo | null>(() => {
    const kept = localStorage.getItem(KNOWN_INFO);
    return kept === null ? null : (JSON.parse(kept) as ServerInfo);
  });
  useEffect(() => {
    let over = false;
    const ask = async () => {
      try {
        const answer = await serverInfo();
        if (over) return;
        clearInterval(timer);
        localStorage.setItem(KNOWN_INFO, JSON.stringify(answer));
        setInfo(answer);
      } catch {
        // Said where it matters: only signing in needs the server.
      }
    };
    const timer = info ? 0 : setInterval(() => document.hidden || ask(), AGAIN_MS);
    void ask();
    addEventListener("online", ask);
    return () => {
      over = true;
      clearInterval(timer);
      removeEventListener("online", ask);
    };
  }, []);
  return info;
}
