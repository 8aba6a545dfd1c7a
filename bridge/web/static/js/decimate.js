// Few points out of many, with every peak: the least and the greatest of each stretch of time.

/** A stretch of 1, 2 or 5 times a power of ten, so that about `bins` of them fill `span`: the same while time passes. */
export function stretch(span, bins) {
  const least = span / bins;
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least * (1 - 1e-9));
}

/**
 * Columns of a `Ring` between two times, for a picture `bins` wide: {time, columns: {name: values}}, null where a sample
 * is missing and before the indices of the Set `breaks`, up to which nothing was measured. Fewer than two samples a bin are
 * given as they are.
 */
export function picture(ring, names, from, to, bins, breaks = NONE) {
  const [start, end] = [Math.max(ring.first, ring.at(from) - 1), Math.min(ring.next, ring.at(to) + 1)];
  return end - start <= 2 * bins ? asIs(ring, names, start, end, breaks) : reduced(ring, names, start, end, stretch(to - from, bins), breaks);
}

const NONE = new Set();

function asIs(ring, names, start, end, breaks) {
  const time = [];
  const columns = Object.fromEntries(names.map((name) => [name, []]));
  for (let index = start; index < end; index++) {
    if (index > start && breaks.has(index)) lift(ring, time, columns, index);
    time.push(ring.value("time", index));
    for (const name of names) columns[name].push(finite(ring.value(name, index)));
  }
  return { time, columns };
}

/** The pen is off the paper before this sample. */
function lift(ring, time, columns, index) {
  time.push(ring.value("time", index));
  for (const column of Object.values(columns)) column.push(null);
}

function reduced(ring, names, start, end, step, breaks) {
  const time = [];
  const columns = Object.fromEntries(names.map((name) => [name, []]));
  const edges = [...breaks].filter((edge) => edge > start && edge < end).sort((a, b) => a - b);
  let index = start;
  let bin = Math.floor(ring.value("time", start) / step);
  while (index < end) {
    if (edges[0] === index) lift(ring, time, columns, edges.shift());
    const next = Math.min(end, edges[0] ?? end, Math.max(index + 1, ring.at((bin + 1) * step)));
    time.push(ring.value("time", index), ring.value("time", next - 1));
    for (const name of names) columns[name].push(...pair(ring, name, index, next));
    index = next;
    if (index < end) bin = Math.max(bin + 1, Math.floor(ring.value("time", index) / step));
  }
  return { time, columns };
}

/** Least and greatest in the order that the ends of the stretch suggest, so that a slope is drawn as one. */
function pair(ring, name, from, to) {
  const [low, high] = ring.extrema(name, from, to).map(finite);
  return ring.value(name, from) <= ring.value(name, to - 1) ? [low, high] : [high, low];
}

function finite(value) {
  return Number.isFinite(value) ? value : null;
}
