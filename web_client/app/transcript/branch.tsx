/** Branches: what stands beside a message that has alternatives. */

import type { BranchItem } from "../../src/branches.js";
import { lazy, nothing } from "../kit/lazy.js";

const Steps = lazy(() => import("./steps.js").then((module) => module.Steps), nothing);

/** `stepped` is called with the view changed, so that it is drawn again and kept. */
export function BranchSteps(given: { item: BranchItem; stepped: () => void }) {
  return given.item.count > 1 ? <Steps {...given} /> : null;
}
