// The views, in the order of the navigation. docs/dashboard.md says what a view is.

import { chamber } from "./chamber.js";
import { events } from "./events.js";
import { faults } from "./faults.js";
import { impedance } from "./impedance.js";
import { noise } from "./noise.js";
import { overview } from "./overview.js";
import { runs } from "./runs.js";
import { sheet } from "./sheet.js";
import { start } from "./start.js";

export const VIEWS = [overview, chamber, start, runs, noise, impedance, sheet, faults, events];
