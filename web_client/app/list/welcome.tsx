/** What is shown while no session is open. On a phone that is the list. */

import type { ComponentChildren } from "preact";
import { followed, pathOf } from "../routes.js";

export function Welcome({ demo, children }: { demo: string | null; children: ComponentChildren }) {
  return (
    <main class="welcome">
      <h1>syncd</h1>
      {location.pathname !== "/" && (
        <p class="failure" role="alert">
          There is no session at this address. A session's id has up to 64 letters, digits, dashes and underscores.
        </p>
      )}
      <p>Choose a session, or begin a new one.</p>
      {demo && (
        <p>
          <a class="button" href={pathOf(demo)} onClick={(event) => followed(event, pathOf(demo))}>
            Open the demo, where two agents work
          </a>
        </p>
      )}
      {children}
    </main>
  );
}
