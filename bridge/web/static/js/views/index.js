// The views, in the order of the navigation. docs/dashboard.md says what a view is.

import { events } from "./events.js";
import { faults } from "./faults.js";
import { overview } from "./overview.js";
import { runs } from "./runs.js";
import { start } from "./start.js";

export const VIEWS = [overview, start, runs, faults, events];
