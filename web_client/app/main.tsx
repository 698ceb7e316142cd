/** Where the console begins. */

import { render } from "preact";
// Any tab may be the one that connects: with the rest, it is smaller than it would be apart.
import "../src/core/lead.js";
import { App } from "./app.js";

render(<App />, document.getElementById("app")!);
addEventListener("load", () => {
  import("./loaded.js").then(
    ({ loaded }) => loaded(),
    (error: unknown) => console.warn("the console will not start without a network here:", error),
  );
});
