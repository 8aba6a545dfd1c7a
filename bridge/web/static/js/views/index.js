// The views, in the order of the navigation. docs/dashboard.md says what a view is.

import { overview } from "./overview.js";

export const VIEWS = [overview];
