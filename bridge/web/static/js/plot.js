// Small pictures of results as SVG: bars, lines and points over linear or logarithmic axes, each point to be read by
// pointer or keyboard. Pictures of samples over time are chart.js; these are of some hundred numbers, drawn anew each time.

import { h, s, replace, setText } from "./dom.js";
import { plain } from "./format.js";
import { linearTicks, logTicks, span } from "./ticks.js";

const EDGE = { left: 62, right: 14, top: 14, bottom: 46 };
const SMALLEST = 240;

/**
 * A figure: a heading, the picture, a line that says the point under the pointer, a text that says the same as the picture.
 * `show(picture)` draws it: {x, y: {label, log, range, ticks, tick}, layers, marks, bands, square, note, caption, text}.
 * A layer is {kind: "line" | "points" | "bars", x, y, style, shape, name, read}; a band is {x, y: [from, to], style, name,
 * label}, a mark {x or y, style, name, label}. What has a name is in the legend. `square`: the same scale on both axes.
 */
export class Plot {
  constructor(title, { height = 260 } = {}) {
    this.title = title;
    this.height = height;
    this.picture = null;
    this.svg = s("svg", { class: "plot", role: "img", tabindex: "0", focusable: "true" });
    this.readout = h("p", { class: "plot-readout number", "aria-live": "polite" });
    this.legend = h("ul", { class: "plot-legend" });
    this.caption = h("p", { class: "plot-caption small muted" });
    this.text = h("p", { class: "hidden-text" });
    this.element = h("figure", { class: "plot-figure" }, h("figcaption", {}, h("h3", {}, title)), this.svg, this.legend, this.caption, this.readout, this.text);
    this.element.plot = this;
    this._at = null;
    this._width = 0;
    this.svg.addEventListener("pointermove", (event) => this._point(event));
    this.svg.addEventListener("pointerdown", (event) => this._point(event));
    this.svg.addEventListener("pointerleave", () => this._choose(null));
    this.svg.addEventListener("blur", () => this._choose(null));
    this.svg.addEventListener("keydown", (event) => this._key(event));
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width);
      if (width && width !== this._width) {
        this._width = width;
        this._draw();
      }
    }).observe(this.element);
  }

  show(picture) {
    this.picture = picture;
    this.svg.setAttribute("aria-label", `${this.title}. ${picture.text}`);
    setText(this.text, picture.text);
    setText(this.caption, picture.caption ?? "");
    this.caption.hidden = !picture.caption;
    if (this._width) this._draw();
  }

  _draw() {
    const { picture } = this;
    if (!picture) return;
    const width = Math.max(SMALLEST, this._width);
    this._frame = frame(picture, width, this.height);
    const { height } = this._frame;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    replace(this.svg, draw(picture, this._frame));
    this.svg.append((this._cursor = s("g", { class: "plot-cursor" })));
    replace(this.legend, legend(picture));
    this.legend.hidden = !this.legend.childElementCount;
    this._points = readable(picture, this._frame);
    this._choose(this._at !== null && this._at < this._points.length ? this._at : null);
  }

  _point(event) {
    if (!this._points?.length) return;
    const box = this.svg.getBoundingClientRect();
    const scale = this._frame.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = null;
    let least = 60 ** 2;
    this._points.forEach((point, index) => {
      const distance = (point.x - x) ** 2 + (point.y - y) ** 2 / (this.picture.square ? 1 : 16);
      if (distance < least) [best, least] = [index, distance];
    });
    this._choose(best);
  }

  _key(event) {
    const count = this._points?.length ?? 0;
    if (!count) return;
    const now = this._at ?? -1;
    const to = { ArrowRight: now + 1, ArrowLeft: now < 0 ? count - 1 : now - 1, Home: 0, End: count - 1 }[event.key];
    if (event.key === "Escape") return this._choose(null);
    if (to === undefined) return;
    event.preventDefault();
    this._choose(Math.min(count - 1, Math.max(0, to)));
  }

  _choose(index) {
    this._at = index;
    const point = index === null ? null : this._points[index];
    replace(this._cursor, point ? s("circle", { cx: point.x, cy: point.y, r: 7 }) : null);
    setText(this.readout, point ? point.text : "");
  }
}

/** Where values come to lie. A square picture is as high as its values are beside their width, within bounds. */
function frame(picture, width, asked) {
  let x = axis(picture.x, picture.layers.map((layer) => layer.x));
  let y = axis(picture.y, picture.layers.map((layer) => layer.y));
  const inner = width - EDGE.left - EDGE.right;
  const wanted = (inner * (y.high - y.low)) / (x.high - x.low);
  const height = picture.square ? Math.min(asked, Math.max(140, wanted)) + EDGE.top + EDGE.bottom : asked;
  const box = { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: height - EDGE.bottom };
  if (picture.square) [x, y] = equal(x, y, inner / (box.bottom - box.top));
  const place = (each, from, to) => (value) => from + ((each.map(value) - each.low) / (each.high - each.low)) * (to - from);
  return { width, height, box, x, y, px: place(x, box.left, box.right), py: place(y, box.bottom, box.top) };
}

function axis({ log = false, range = null, ticks = null }, values) {
  const map = log ? (value) => (value > 0 ? Math.log10(value) : NaN) : (value) => value;
  const [low, high] = range ? range.map(map) : span(values, map, log);
  return { log, map, low, high, ticks };
}

/** The same length for the same difference on both axes: a circle stays a circle. */
function equal(x, y, ratio) {
  const unit = Math.max((x.high - x.low) / ratio, y.high - y.low);
  const wide = (each, length) => {
    const more = (length - (each.high - each.low)) / 2;
    return { ...each, low: each.low - more, high: each.high + more };
  };
  return [wide(x, unit * ratio), { ...y, high: y.low + unit }];
}

function draw(picture, f) {
  const clip = `plot-clip-${Math.random().toString(36).slice(2)}`;
  const { left, right, top, bottom } = f.box;
  return [
    s("clipPath", { id: clip }, s("rect", { x: left, y: top, width: right - left, height: bottom - top })),
    (picture.bands ?? []).map((band) => drawBand(band, f)),
    grid(picture, f),
    s("g", { "clip-path": `url(#${clip})` }, picture.layers.map((layer) => drawLayer(layer, f))),
    staggered(picture.marks ?? [], f).map((mark) => drawMark(mark, f)),
    s("text", { class: "plot-label", x: (left + right) / 2, y: f.height - 6, "text-anchor": "middle" }, picture.x.label),
    s("text", { class: "plot-label", transform: `translate(13 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, picture.y.label),
    picture.note ? s("text", { class: "plot-note", x: right - 6, y: top + 16, "text-anchor": "end" }, picture.note) : null,
  ];
}

function grid(picture, f) {
  const { left, right, top, bottom } = f.box;
  const parts = [];
  const room = { x: Math.max(2, Math.floor((right - left) / 70)), y: Math.max(2, Math.floor((bottom - top) / 42)) };
  const ticksOf = (each, count) => each.ticks ?? (each.log ? logTicks(each.low, each.high, count) : linearTicks(each.low, each.high, count));
  const [sayX, sayY] = [picture.x.tick ?? plain, picture.y.tick ?? plain];
  for (const value of ticksOf(f.x, room.x)) {
    const at = f.px(value);
    if (at < left - 1 || at > right + 1) continue;
    parts.push(s("line", { class: "plot-grid", x1: at, x2: at, y1: top, y2: bottom }));
    parts.push(s("text", { class: "plot-tick number", x: at, y: bottom + 18, "text-anchor": "middle" }, sayX(value)));
  }
  for (const value of ticksOf(f.y, room.y)) {
    const at = f.py(value);
    if (at < top - 1 || at > bottom + 1) continue;
    parts.push(s("line", { class: "plot-grid", x1: left, x2: right, y1: at, y2: at }));
    parts.push(s("text", { class: "plot-tick number", x: left - 7, y: at + 4, "text-anchor": "end" }, sayY(value)));
  }
  parts.push(s("path", { class: "plot-axis", d: `M${left} ${top}V${bottom}H${right}` }));
  return parts;
}

function drawBand({ x, y, style = "", label }, f) {
  const { left, right, top, bottom } = f.box;
  const within = (value, low, high) => Math.min(high, Math.max(low, value));
  const [x1, x2] = x ? x.map((value) => within(f.px(value), left, right)) : [left, right];
  const [y2, y1] = y ? y.map((value) => within(f.py(value), top, bottom)) : [bottom, top];
  return [
    s("rect", { class: `plot-band ${style}`, x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) }),
    label && x2 - x1 > 50 ? s("text", { class: "plot-note", x: x2 - 6, y: y1 + 16, "text-anchor": "end" }, label) : null,
  ];
}

/** Marks whose labels would lie on each other get them lower and lower. */
function staggered(marks, f) {
  let [before, level] = [-Infinity, 0];
  return [...marks]
    .sort((a, b) => (a.x ?? 0) - (b.x ?? 0))
    .map((mark) => {
      if (mark.x === undefined || !mark.label) return mark;
      const at = f.px(mark.x);
      level = at - before < 15 ? level + 1 : 0;
      before = at;
      return { ...mark, down: level * 50 };
    });
}

function drawMark({ x, y, label, style = "", down = 0 }, f) {
  const { left, right, top, bottom } = f.box;
  if (x !== undefined) {
    const at = f.px(x);
    if (!(at >= left && at <= right)) return null;
    const turned = `translate(${at - 4} ${top + 4 + down}) rotate(-90)`;
    return [
      s("line", { class: `plot-mark ${style}`, x1: at, x2: at, y1: top, y2: bottom }),
      label ? s("text", { class: "plot-note", transform: turned, "text-anchor": "end" }, label) : null,
    ];
  }
  const at = f.py(y);
  if (!(at >= top && at <= bottom)) return null;
  return [
    s("line", { class: `plot-mark ${style}`, x1: left, x2: right, y1: at, y2: at }),
    label ? s("text", { class: "plot-note", x: right - 6, y: at - 5, "text-anchor": "end" }, label) : null,
  ];
}

function drawLayer(layer, f) {
  const { kind, style = "", shape = "circle" } = layer;
  if (kind === "bars") return s("path", { class: `plot-bars ${style}`, d: bars(layer, f) });
  const at = places(layer, f);
  if (kind === "line") return s("path", { class: `plot-line ${style}`, d: line(at) });
  return s("path", { class: `plot-points ${style}`, d: at.filter(Boolean).map(([x, y]) => SHAPES[shape](x, y)).join("") });
}

function places({ x, y }, f) {
  return Array.from(x, (value, index) => {
    const [px, py] = [f.px(value), f.py(y[index])];
    return Number.isFinite(px) && Number.isFinite(py) && y[index] !== null && value !== null ? [round(px), round(py)] : null;
  });
}

function line(at) {
  let pen = "M";
  return at
    .map((place) => {
      if (!place) return ((pen = "M"), "");
      const text = `${pen}${place[0]} ${place[1]}`;
      pen = "L";
      return text;
    })
    .join("");
}

/** `x` are edges, one more than `y`. */
function bars({ x, y }, f) {
  const base = f.box.bottom;
  return Array.from(y, (value, index) => {
    const [from, to] = [round(f.px(x[index])), round(f.px(x[index + 1]))];
    return value ? `M${from} ${base}V${round(f.py(value))}H${Math.max(from + 1, to - 1)}V${base}Z` : "";
  }).join("");
}

const SHAPES = {
  circle: (x, y) => `M${x - 3.5} ${y}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0`,
  square: (x, y) => `M${x - 3} ${y - 3}h6v6h-6Z`,
  diamond: (x, y) => `M${x} ${y - 4.5}l4.5 4.5l-4.5 4.5l-4.5 -4.5Z`,
  ring: (x, y) => `M${x - 7} ${y}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0`,
  cross: (x, y) => `M${x - 3.5} ${y - 3.5}l7 7M${x - 3.5} ${y + 3.5}l7 -7`,
};

function legend(picture) {
  const path = (kind, style, d) => s("path", { class: `plot-${kind} ${style ?? ""}`, d });
  const signs = {
    line: (layer) => path("line", layer.style, "M1 8H23"),
    bars: (layer) => path("bars", layer.style, "M6 14V4H18V14Z"),
    points: (layer) => path("points", layer.style, SHAPES[layer.shape ?? "circle"](12, 8)),
    band: (band) => path("band", band.style, "M1 1H23V15H1Z"),
    mark: (mark) => path("mark", mark.style, "M1 8H23"),
  };
  const named = [
    ...picture.layers,
    ...(picture.bands ?? []).map((band) => ({ ...band, kind: "band" })),
    ...(picture.marks ?? []).map((mark) => ({ ...mark, kind: "mark" })),
  ].filter((each) => each.name);
  return named.map((each) => h("li", {}, s("svg", { class: "plot-sign", viewBox: "0 0 24 16", "aria-hidden": "true" }, signs[each.kind](each)), each.name));
}

/** What pointer and keyboard can read, from left to right. */
function readable(picture, f) {
  const found = [];
  for (const layer of picture.layers) {
    if (!layer.read) continue;
    const count = layer.y.length;
    for (let index = 0; index < count; index++) {
      const middle = layer.kind === "bars" ? (layer.x[index] + layer.x[index + 1]) / 2 : layer.x[index];
      const [x, y] = [f.px(middle), f.py(layer.y[index])];
      if (Number.isFinite(x) && Number.isFinite(y)) found.push({ x, y, text: layer.read(index) });
    }
  }
  return found;
}

const round = (value) => Math.round(value * 10) / 10;
