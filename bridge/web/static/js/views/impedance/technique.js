// The points of a bare technique: no procedure shows them, so they are taken from its samples, those of the past as well.

import { decodeBlock } from "../../samples.js";

export class TechniquePoints {
  /** Of the run's part of a potentiostat's stream; `changed()` is called when points have come. */
  constructor(lab, run, device, changed, signal) {
    this._lab = lab;
    this._run = run;
    this._device = device;
    this._changed = changed;
    this._signal = signal;
    this._byIndex = new Map();
    /** What lies before this index was sent, or will not come. */
    this._heard = 0;
    this._asking = false;
    const take = (payload) => this._take(decodeBlock(payload));
    const ends = [`${lab.prefix}/devices/${device}/samples`, lab.requests.replayTopic].map((topic) => lab.connection.subscribe(topic, take));
    signal.addEventListener("abort", () => ends.forEach((end) => end()));
    lab.addEventListener("runs", (event) => event.detail === run && this._look(), { signal });
    lab.addEventListener("device", (event) => event.detail === device && this._look(), { signal });
    this._look();
  }

  /** In the order in which they were measured. */
  get points() {
    return [...this._byIndex.entries()].sort(([a], [b]) => a - b).map(([, point]) => point);
  }

  /** Asks for what was measured and has not come: before the page looked, or while it slept. */
  async _look() {
    const part = this._lab.runs.get(this._run)?.streams?.[this._device];
    if (!part || this._asking || this._lab.doubt) return;
    const { state } = this._lab.devices.get(this._device) ?? {};
    const going = this._lab.runs.get(this._run).status === "running" && state?.stream === part.stream;
    const next = going ? Math.max(part.next_index, state.next_index) : part.next_index;
    let first = Math.max(this._heard, part.first_index);
    while (this._byIndex.has(first)) first++;
    if (first >= next) return;
    this._asking = true;
    try {
      const answer = await this._lab.ask("replay", { stream: part.stream, first_index: first, next_index: next }, { patience: 60 });
      this._heard = Math.max(first + 1, answer.next_index);
    } catch (error) {
      this._heard = next;
      console.info(`points of ${this._run} stay missing: ${error.message}`);
    } finally {
      this._asking = false;
    }
  }

  _take(block) {
    if (block.attributes.run !== this._run) return;
    const [frequency, real, imag, flags] = ["frequency_hz", "z_real_ohm", "z_imag_ohm", "flags"].map((name) => block.columns.get(name)?.data);
    if (!frequency || !real || !imag) return;
    const number = (value) => (Number.isFinite(value) ? value : null);
    frequency.forEach((at, place) => {
      const point = { step: "spectrum", frequency_hz: at, z_real_ohm: number(real[place]), z_imag_ohm: number(imag[place]), flags: flags?.[place] ?? 0 };
      this._byIndex.set(block.firstIndex + place, point);
    });
    this._changed();
  }
}
