// Where axes end, and the round numbers on them.

/** [low, high] of all values with a little room, as `map` has them; [0, 1] without any. */
export function span(columns, map, log) {
  let [low, high] = [Infinity, -Infinity];
  for (const column of columns) {
    for (const value of column) {
      const at = value === null ? NaN : map(value);
      if (at < low) low = at;
      if (at > high) high = at;
    }
  }
  if (!(high >= low)) return log ? [0, 1] : [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

/** Multiples of 1, 2 or 5 times a power of ten, `count` of them or a few less. */
export function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((each) => each * power >= rough * 0.999) * power;
  const ticks = [];
  for (let number = Math.ceil(low / step - 1e-9); number * step <= high + step * 1e-9; number++) ticks.push(number * step);
  return ticks;
}

/** Decades between the logarithms `low` and `high`, every so many of them; with 2 and 5 between where there are few. */
export function logTicks(low, high, count) {
  const decades = high - low;
  const between = decades < count / 3 ? [1, 2, 5] : decades < count / 2 ? [1, 3] : [1];
  const every = Math.max(1, Math.ceil(decades / count));
  const ticks = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
    if (power % every) continue;
    for (const digit of between) {
      const at = power + Math.log10(digit);
      if (at >= low - 1e-9 && at <= high + 1e-9) ticks.push(digit * 10 ** power);
    }
  }
  // less than a decade may have no such number in it
  return ticks.length > 1 ? ticks : linearTicks(10 ** low, 10 ** high, Math.max(2, count - 1)).filter((value) => value > 0);
}

const PREFIX = { "-12": "p", "-9": "n", "-6": "µ", "-3": "m", 0: "", 3: "k", 6: "M", 9: "G" };
const SUPER = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** A frequency on an axis: 0.1, 100, 10 k, 1 M. */
export function frequencyTick(value) {
  if (value < 1e3) return String(Number(value.toPrecision(3)));
  const exponent = value >= 1e6 ? 6 : 3;
  return `${Number((value / 10 ** exponent).toPrecision(3))} ${PREFIX[exponent]}`;
}

/** A number on a logarithmic axis that has its unit in its label: 0.01, 10, 10⁴. */
export function logTick(value) {
  if (value >= 1e-3 && value < 1e4) return String(Number(value.toPrecision(3)));
  const exponent = Math.floor(Math.log10(value) + 1e-9);
  const digit = Number((value / 10 ** exponent).toPrecision(4));
  const power = `10${[...String(exponent)].map((each) => SUPER[each]).join("")}`;
  return digit === 1 ? power : `${digit}·${power}`;
}
