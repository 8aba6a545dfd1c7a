// Colours of the sheet. Cividis (Nunez, Anderton and Renslow 2018) is perceptually uniform, and the same to an eye that has
// no red or no green. Bins have colours of Okabe and Ito, and each a sign of its own for whom colours say nothing.

/** Every sixteenth colour of cividis, from the lowest. */
const CIVIDIS = [
  [0, 34, 78], [4, 44, 98], [22, 54, 109], [46, 64, 109], [62, 74, 108], [75, 84, 108], [87, 93, 109], [99, 103, 112],
  [110, 113, 117], [123, 123, 120], [136, 134, 119], [150, 144, 117], [164, 156, 113], [179, 167, 107], [194, 179, 98],
  [210, 191, 87], [226, 204, 74], [243, 219, 56], [254, 232, 56],
];

/** "rgb(…)" for a share from 0 to 1; beyond them as at the ends. */
export function cividis(share) {
  const at = Math.min(1, Math.max(0, share)) * (CIVIDIS.length - 1);
  const from = Math.min(CIVIDIS.length - 2, Math.floor(at));
  const rest = at - from;
  const mixed = CIVIDIS[from].map((value, index) => Math.round(value + (CIVIDIS[from + 1][index] - value) * rest));
  return `rgb(${mixed.join(" ")})`;
}

const PASS = ["#009e73", "#56b4e9", "#0072b2", "#7fc8b4"];
const FAIL = ["#d55e00", "#e69f00", "#cc79a7", "#f0e442", "#8c6d31", "#b15928", "#999999"];
const SIGNS_PASS = ["none", "dot", "ring", "bar"];
const SIGNS_FAIL = ["cross", "slash", "back", "dash", "plus", "double", "square"];

/** soft -> {soft, name, passes, retest, untested, colour, sign, ink} of a bin table; the untested have neither. */
export function binLooks(table, untested) {
  const looks = new Map();
  let [passing, failing] = [0, 0];
  for (const row of [...table].sort((a, b) => a.soft - b.soft)) {
    const look = { soft: row.soft, name: String(row.name), passes: Boolean(row.pass), retest: Boolean(row.retest) };
    look.untested = row.soft === untested;
    if (look.untested) Object.assign(look, { colour: null, sign: "hollow" });
    else if (row.pass) Object.assign(look, { colour: PASS[passing % PASS.length], sign: SIGNS_PASS[passing++ % SIGNS_PASS.length] });
    else Object.assign(look, { colour: FAIL[failing % FAIL.length], sign: SIGNS_FAIL[failing++ % SIGNS_FAIL.length] });
    look.ink = look.colour ? "#0b0f13" : null;
    looks.set(row.soft, look);
  }
  return looks;
}
