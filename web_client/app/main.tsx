/** Where the console begins. */

import { render } from "preact";
import { App } from "./app.js";
import { install } from "./install.js";

render(<App />, document.getElementById("app")!);
void install();
