// What test_modules.py has done in the browser, where a line of Python would hide it.

import { picture } from "/static/js/decimate.js";
import { Ring } from "/static/js/ring.js";
import { Series } from "/static/js/series.js";

/** Samples come in pieces, some of which are missing and filled in later. */
export function ringOverHoles(values, cuts, ranges) {
  const ring = new Ring(["v"], 8192);
  const edges = [0, ...cuts, values.length];
  const columns = (from, to) => ({ time: Float64Array.from({ length: to - from }, (_, place) => from + place), v: Float64Array.from(values.slice(from, to)) });
  const lost = [];
  for (let place = 1; place < edges.length; place++) {
    const [from, to] = [edges[place - 1], edges[place]];
    if (place % 7 === 3 && to < values.length) lost.push([from, to]);
    else ring.append(from, columns(from, to), to - from);
    if (place % 14 === 5) ring.fill(...filling(lost.pop()));
  }
  for (const hole of lost) ring.fill(...filling(hole));
  function filling([from, to]) {
    return [from, columns(from, to), to - from];
  }
  return {
    ends: [ring.first, ring.next],
    same: values.slice(ring.first).every((value, place) => ring.value("v", ring.first + place) === value),
    extrema: ranges.map(([from, to]) => ring.extrema("v", from, to)),
    times: ranges.map(([from]) => ring.at(from)),
  };
}

/** A slow wave with two samples that stand out, from far and from near. */
export function pictureOfPeaks() {
  const length = 100_000;
  const ring = new Ring(["v"], 2 ** 17);
  const v = new Float64Array(length).map((_, place) => Math.sin(place / 1000));
  [v[54_321], v[54_322]] = [9, -9];
  ring.append(0, { time: new Float64Array(length).map((_, place) => place / 100), v }, length);
  const far = picture(ring, ["v"], 0, 1000, 500);
  const near = picture(ring, ["v"], 543, 543.5, 500);
  return {
    points: far.time.length,
    greatest: Math.max(...far.columns.v),
    least: Math.min(...far.columns.v),
    rising: far.time.every((time, place) => place === 0 || time >= far.time[place - 1]),
    exact: near.columns.v[near.time.indexOf(543.21)],
  };
}

/** 3600 A for a second a sample; a hole that is filled in two pieces; a technique that ends, and another one later. */
export function chargeOverGaps() {
  const asked = [];
  const series = new Series((...range) => asked.push(range), () => {});
  const block = (first, next, end = null) => ({
    stream: "s", firstIndex: first, nextIndex: next, end, attributes: { run: "r" },
    time: Float64Array.from({ length: next - first }, (_, place) => first + place + (first >= 60 ? 1000 : 0)),
    columns: new Map([["current_a", { data: new Float64Array(next - first).fill(3600) }]]),
  });
  series.take(block(0, 10));
  series.take(block(30, 60, "duration"));
  const before = { asked: [...asked], complete: series.complete };
  series.take(block(10, 20));
  series.take(block(60, 70));
  series.take({ ...block(20, 30), replayed: true });
  const { time, columns } = picture(series.ring, ["current_a"], 0, 2000, 1000, series.ends);
  const pauses = time.filter((_, place) => columns.current_a[place] === null);
  return { before, pauses, complete: series.complete, missing: series.missing, charge: series.ring.value("charge_ah", 69) };
}

/** QoS 1: a block may come twice, and one that was sent again may begin with what is here. */
export function whatComesTwice() {
  const series = new Series(() => {}, () => {});
  const block = (first, next) => ({
    stream: "s", firstIndex: first, nextIndex: next, end: null, attributes: { run: "r" },
    time: Float64Array.from({ length: next - first }, (_, place) => first + place),
    columns: new Map([["current_a", { data: Float64Array.from({ length: next - first }, (_, place) => first + place) }]]),
  });
  for (const [first, next] of [[0, 10], [0, 10], [5, 15], [3, 7], [15, 20]]) series.take(block(first, next));
  return Array.from({ length: series.ring.next }, (_, index) => [series.ring.value("time", index), series.ring.value("current_a", index)]);
}
