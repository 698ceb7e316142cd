/** Here: what every part of an open session's screen needs to know, handed down by a context. */

import { createContext } from "preact";
import { useContext, useRef, useState } from "preact/hooks";
import type { Client } from "../../src/client.js";
import type { Right } from "../../src/core/messages.js";
import type { Session } from "../../src/session.js";
import type { View } from "../../src/view.js";

export interface Here {
  readonly client: Client;
  readonly session: Session;
  readonly view: View;
  /** Whose tab this is, such as `user:mona`. */
  readonly me: string;
  /** Whether the server is heard: what is known of others is as it is now. */
  readonly live: boolean;
  /** Tell the person what went wrong with what they asked for. */
  readonly report: (error: unknown) => void;
}

const Context = createContext<Here | null>(null);

export const HereProvider = Context.Provider;

/** Whether this person may do something here: as far as that is known, the server decides. */
export function useMay(right: Right): boolean {
  return useHere().session.rights?.has(right) ?? true;
}

export function useHere(): Here {
  const here = useContext(Context);
  if (!here) throw new Error("no session is open around this component");
  return here;
}

/** Do what a button asks for; a failure is shown, never dropped. */
export function useAsk(): (asked: () => Promise<unknown> | unknown) => void {
  const { report } = useHere();
  return (asked) => {
    void (async () => asked())().catch(report);
  };
}

/** As `useAsk`, one thing at a time: what is asked for while that is being done is dropped, as by a second Enter. */
export function useOnce() {
  const ask = useAsk();
  const busy = useRef(false);
  const [, draw] = useState({});
  const set = (now: boolean) => {
    busy.current = now;
    draw({});
  };
  const once = (asked: () => Promise<unknown>) => {
    if (busy.current) return;
    set(true);
    ask(() => asked().finally(() => set(false)));
  };
  return { busy: busy.current, once };
}
