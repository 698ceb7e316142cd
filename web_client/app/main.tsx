/** Where the console begins. */

import { render } from "preact";
// Any tab may be the one that connects: with the rest, it is smaller than it would be apart.
import "../src/core/lead.js";
import { App } from "./app.js";
import { install } from "./install.js";

render(<App />, document.getElementById("app")!);
void install();
