// One bridge as its topics tell: devices, runs, events, health, and what may be asked of it.
//
// Events: "status", "device" (detail: name), "runs", "event", "health", "samples" (detail: device).

import { decodeBlock } from "./samples.js";
import { Requests } from "./requests.js";
import { Series } from "./series.js";
import { whyNot } from "./roles.js";

export const CONTRACT = 1;
/** The newest events; a page may be open for a week. */
const EVENTS_KEPT = 1000;
/** A device's samples are followed for so long after nobody looks at them any more. */
const LINGER_S = 60;
const TEXT = new TextDecoder();

export class Lab extends EventTarget {
  /** `account` is {user, role, client}. */
  constructor(connection, prefix, account) {
    super();
    this.connection = connection;
    this.prefix = prefix;
    this.account = account;
    this.name = prefix.split("/").at(-1);
    /** As in `status`; null before it came. */
    this.status = null;
    /** name -> {name, info, state, latest, latestAt}; `latestAt` is when it was heard live, 0 for a retained value. */
    this.devices = new Map();
    /** run -> its state; the results by the same name. */
    this.runs = new Map();
    this.results = new Map();
    /** The newest first. */
    this.events = [];
    this.health = null;
    this.requests = new Requests(connection, prefix, account.user, account.client);
    this._series = new Map();
    this._procedures = null;
    this._ends = [
      this._listen("status", (message) => this._status(message)),
      this._listen("health", (message) => this._change("health", () => (this.health = message))),
      this._listen("events", (message) => this._event(message)),
      this._listen("devices/+/info", (message, [, name]) => this._device(name, { info: message })),
      this._listen("devices/+/state", (message, [, name]) => this._device(name, { state: message })),
      this._listen("devices/+/latest", (message, [, name], live) => {
        this._device(name, { latest: message, latestAt: live ? performance.now() : 0 });
      }),
      this._listen("runs/+/state", (message, [, run]) => this._run(this.runs, run, message)),
      this._listen("runs/+/result", (message, [, run]) => this._run(this.results, run, message)),
      connection.subscribe(this.requests.replayTopic, (payload) => this._replayed(payload)),
    ];
    this._onState = () => this._change("status", () => {});
    connection.addEventListener("state", this._onState);
  }

  close() {
    for (const end of this._ends) end();
    this.connection.removeEventListener("state", this._onState);
    for (const follow of this._series.values()) follow.end();
    this.requests.close();
  }

  /** "" if what is shown is what is so, or why it may be old. */
  get doubt() {
    if (!this.connection.connected) return "The connection is lost.";
    if (!this.status) return "Nothing has been heard of this bridge.";
    if (this.status.status !== "online") return "The daemon is not running.";
    return "";
  }

  /** "" if this page may have `method` executed here and now, or why not. */
  whyNot(method) {
    if (this.doubt) return this.doubt;
    if (this.status.contract !== CONTRACT && !method.endsWith("stop")) {
      return `The daemon speaks version ${this.status.contract} of the contract, this page ${CONTRACT}. Reload the page.`;
    }
    return this.status.access ? whyNot(this.account.role, method) : "";
  }

  may(method) {
    return this.whyNot(method) === "";
  }

  /** The daemon's answer; see `Requests.ask`. */
  ask(method, params, options) {
    return this.requests.ask(method, params, options);
  }

  /** Descriptions of all procedures, as the method `procedures` has them; asked for once. */
  procedures() {
    this._procedures ??= this.ask("procedures").catch((error) => {
      this._procedures = null;
      throw error;
    });
    return this._procedures;
  }

  get running() {
    return [...this.runs.values()].filter((run) => run.status === "running");
  }

  /** The run that is using a device, if one is. */
  runOf(device) {
    const run = this.runs.get(this.devices.get(device)?.state?.run);
    return run?.status === "running" ? run : undefined;
  }

  /** Devices of an interface, in the order of the configuration. */
  ofInterface(name) {
    return [...this.devices.values()].filter((device) => device.info?.interface === name);
  }

  /** The samples of a potentiostat, followed until `signal` is aborted and a minute longer. */
  follow(device, signal) {
    const follow = this._series.get(device) ?? this._open(device);
    clearTimeout(follow.timer);
    follow.users++;
    signal.addEventListener("abort", () => {
      if (--follow.users) return;
      follow.timer = setTimeout(() => {
        follow.end();
        this._series.delete(device);
      }, LINGER_S * 1000);
    });
    return follow.series;
  }

  _open(device) {
    const changed = () => this._change("samples", () => {}, device);
    const refill = (stream, first, next) => this._replay(stream, first, next);
    const series = new Series(refill, changed, (run) => this.runs.get(run)?.streams?.[device]?.first_index);
    const follow = { series, users: 0, timer: 0, end: () => opening.abort() };
    const opening = new AbortController();
    this._series.set(device, follow);
    const open = () => {
      const state = this.devices.get(device)?.state;
      const run = this.runs.get(state?.run);
      if (opening.signal.aborted || !state || (state.run && !run)) return;
      opening.abort();
      const part = run?.status === "running" ? run.streams?.[device] : undefined;
      if (part) series.expect(part.stream, run.run, part.first_index);
      const topic = `${this.prefix}/devices/${device}/samples`;
      follow.end = this.connection.subscribe(topic, (payload) => series.take(decodeBlock(payload)), () => this._catchUp());
    };
    // what the broker has kept of device and run comes first: it says where the run under way began
    this.addEventListener("device", open, { signal: opening.signal });
    this.addEventListener("runs", open, { signal: opening.signal });
    open();
    return follow;
  }

  /** Samples that were published while nobody here listened; the next block, which would show it, may be long in coming. */
  async _catchUp() {
    const streams = await this.ask("streams").catch(() => []);
    for (const { stream, next_index: next } of streams) for (const { series } of this._series.values()) series.catchUp(stream, next);
  }

  async _replay(stream, first, next) {
    try {
      while (first < next) {
        const answer = await this.ask("replay", { stream, first_index: first, next_index: next }, { patience: 60 });
        if (!(answer.next_index > first)) return;
        first = answer.next_index;
      }
    } catch (error) {
      console.info(`samples ${first} to ${next} of ${stream} stay missing: ${error.message}`);
    }
  }

  _replayed(payload) {
    const block = decodeBlock(payload);
    block.replayed = true;
    for (const { series } of this._series.values()) if (series.stream === block.stream) series.take(block);
  }

  _listen(topic, handler) {
    return this.connection.subscribe(`${this.prefix}/${topic}`, (payload, full, retained) => {
      const message = payload.length ? JSON.parse(TEXT.decode(payload)) : null;
      handler(message, full.slice(this.prefix.length + 1).split("/"), !retained);
    });
  }

  _status(message) {
    const restarted = this.status && this.status.status !== "online" && message?.status === "online";
    this._change("status", () => (this.status = message));
    if (restarted) this._procedures = null;
  }

  _device(name, part) {
    const known = this.devices.get(name) ?? { name, info: null, state: null, latest: null, latestAt: 0 };
    this._change("device", () => this.devices.set(name, Object.assign(known, part)), name);
  }

  _run(table, run, message) {
    this._change("runs", () => (message ? table.set(run, message) : table.delete(run)), run);
  }

  _event(message) {
    this.events.unshift(message);
    this.events.length = Math.min(this.events.length, EVENTS_KEPT);
    this._change("event", () => {}, message);
  }

  _change(type, change, detail) {
    change();
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
