// The map that one looks at, points at and walks over with the arrow keys. Event "select" with the cell's number.

import { h } from "../../dom.js";
import { theme } from "../../theme.js";
import { layout, paint } from "./painting.js";

const SMALLEST = 4;
const LARGEST = 40;
/** A map that is drawn anew for each cell would do nothing else. */
const REST_MS = 100;

export class SheetMap extends EventTarget {
  constructor() {
    super();
    this.sheet = null;
    this.show = { quantity: "", looks: new Map(), span: null, selected: -1, marked: new Set() };
    this.zoom = 1;
    this.canvas = h("canvas", { tabindex: "0", role: "img", "aria-describedby": "sheet-help" });
    this.scroll = h("div", { class: "sheet-scroll" }, this.canvas);
    this.help = h("p", { id: "sheet-help", class: "muted small" }, "Press on a cell, or walk with the arrow keys; + and − make cells larger and smaller.");
    this.element = h("div", { class: "sheet-map" }, this.scroll, this.help);
    this._drawn = -Infinity;
    this._timer = 0;
    this.canvas.addEventListener("pointerdown", (event) => this._point(event));
    this.canvas.addEventListener("keydown", (event) => this._key(event));
    new ResizeObserver(() => this.draw()).observe(this.scroll);
    theme.addEventListener("change", () => this.draw());
  }

  /** What is drawn: a sheet, and {quantity, looks, span, marked} as `paint` has them. */
  set(sheet, show) {
    if (sheet !== this.sheet) this.show.selected = -1;
    this.sheet = sheet;
    Object.assign(this.show, show);
    this.draw();
  }

  select(cell, { reveal = true } = {}) {
    if (!this.sheet || cell < 0 || cell >= this.sheet.count) return;
    this.show.selected = cell;
    this._paint();
    if (reveal) this._reveal(cell);
    this.dispatchEvent(new CustomEvent("select", { detail: cell }));
  }

  zoomBy(factor) {
    this.zoom = Math.min(8, Math.max(1, this.zoom * factor));
    this._paint();
    if (this.show.selected >= 0) this._reveal(this.show.selected);
  }

  /** Soon, and not more often than ten times a second. */
  draw() {
    if (this._timer) return;
    const wait = Math.max(0, this._drawn + REST_MS - performance.now());
    this._timer = setTimeout(() => {
      this._timer = 0;
      this._paint();
    }, wait);
  }

  _paint() {
    const { sheet, canvas } = this;
    const room = this.scroll.clientWidth - 42;
    if (!sheet || room <= 0) return;
    const fit = Math.min(LARGEST, Math.max(SMALLEST, Math.floor(room / sheet.columns)));
    this.place = layout(sheet, Math.min(64, Math.round(fit * this.zoom)));
    const ratio = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [this.place.width, this.place.height].map((length) => Math.round(length * ratio));
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    canvas.style.setProperty("width", `${this.place.width}px`);
    canvas.style.setProperty("height", `${this.place.height}px`);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const began = performance.now();
    this.drawn = paint(context, sheet, this.place, this.show, colours());
    this._drawn = performance.now();
    canvas.dataset.paints = Number(canvas.dataset.paints ?? 0) + 1;
    canvas.dataset.filled = this.drawn.filled;
    canvas.dataset.hollow = this.drawn.hollow;
    canvas.dataset.paintMs = (this._drawn - began).toFixed(1);
  }

  _point(event) {
    if (!this.place) return;
    const box = this.canvas.getBoundingClientRect();
    const cell = this.place.cellAt(event.clientX - box.left, event.clientY - box.top);
    if (cell >= 0) this.select(cell, { reveal: false });
  }

  _key(event) {
    const { sheet, show } = this;
    if (!sheet || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "+" || event.key === "=") return this.zoomBy(1.5);
    if (event.key === "-") return this.zoomBy(1 / 1.5);
    const up = sheet.up ? 1 : -1;
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowUp: [up, 0], ArrowDown: [-up, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    if (show.selected < 0) return this.select(0);
    let [row, column] = [sheet.row[show.selected], sheet.column[show.selected]];
    do {
      row += step[0];
      column += step[1];
      const cell = sheet.at(row, column);
      if (cell >= 0) return this.select(cell);
    } while (row >= 0 && row < sheet.rows && column >= 0 && column < sheet.columns);
  }

  _reveal(cell) {
    if (!this.place) return;
    const [x, y] = this.place.box(cell);
    const { scroll } = this;
    const [w, height] = [scroll.clientWidth, scroll.clientHeight];
    if (x < scroll.scrollLeft + 44 || x > scroll.scrollLeft + w - 44) scroll.scrollLeft = x - w / 2;
    if (y < scroll.scrollTop + 44 || y > scroll.scrollTop + height - 44) scroll.scrollTop = y - height / 2;
  }
}

export function colours() {
  const [ink, muted, line, hollow, danger] = ["ink", "muted", "edge", "raised", "danger"].map((name) => theme.colour(name));
  return { ink, muted, line, hollow, danger, font: "Inter, system-ui, sans-serif" };
}
