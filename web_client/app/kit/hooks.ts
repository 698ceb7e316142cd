/** Hooks: the library's, as the console's components use them. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { makeRead } from "../../src/hooks.js";

export const useRead = makeRead({ useEffect, useMemo, useState });
