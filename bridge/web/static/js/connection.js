// One MQTT connection, which comes back by itself. `state` is "connecting", "connected" or "lost".

import mqtt from "../vendor/mqtt.js";

const BACK_OFF_S = [0.2, 0.5, 1, 2, 3];
const KEEPALIVE_S = 10;
/** Nothing heard for so long after waking up: whatever the socket says, it is looked at again. */
const PROBE_S = 3;

export class Connection extends EventTarget {
  /** Nothing is opened before `open`. */
  constructor(url, identifier) {
    super();
    this.url = url;
    this.identifier = identifier;
    this.state = "connecting";
    this.since = performance.now();
    this.why = "";
    this._filters = new Map();
    this._failures = 0;
    this._timer = 0;
    this._client = null;
    this._heard = 0;
  }

  open() {
    for (const [target, event] of [[window, "online"], [window, "pageshow"], [document, "visibilitychange"], [document, "resume"]]) {
      target.addEventListener(event, () => this._wakeUp());
    }
    this._dial();
  }

  get connected() {
    return this.state === "connected";
  }

  /**
   * `handler(payload: Uint8Array, topic, retained)`; `ready()` is called each time that the broker has taken the
   * subscription: what is published from then on is heard. Returns the function that ends it.
   */
  subscribe(filter, handler, ready = () => {}) {
    let handlers = this._filters.get(filter);
    if (!handlers) {
      this._filters.set(filter, (handlers = new Map()));
      handlers.set(handler, ready);
      if (this.connected) this._subscribe(this._client, filter);
    } else {
      handlers.set(handler, ready);
    }
    return () => {
      if (!handlers.delete(handler) || handlers.size || this._filters.get(filter) !== handlers) return;
      this._filters.delete(filter);
      if (this.connected) this._client.unsubscribe(filter);
    };
  }

  /** Until the broker has it. Rejects when there is no connection; nothing is kept for later. */
  publish(topic, payload) {
    if (!this.connected) return Promise.reject(new Error("there is no connection"));
    const client = this._client;
    return new Promise((resolve, reject) => {
      const lost = () => reject(Object.assign(new Error("the connection was lost before the broker confirmed it"), { perhaps: true }));
      client.once("close", lost);
      client.publish(topic, payload, { qos: 1 }, (error, packet) => {
        client.removeListener("close", lost);
        if (error || packet?.reasonCode >= 128) reject(error ?? new Error("the broker refused it"));
        else resolve();
      });
    });
  }

  _dial() {
    clearTimeout(this._timer);
    const client = dial(this.url, this.identifier);
    this._client = client;
    client.on("connect", () => this._connected(client));
    client.on("message", (topic, payload, packet) => this._message(topic, payload, packet.retain));
    client.on("packetreceive", () => (this._heard = performance.now()));
    client.on("error", (error) => (this.why = error.message));
    client.on("close", () => {
      if (client === this._client) this._lost();
    });
  }

  _connected(client) {
    if (client !== this._client) return;
    this._failures = 0;
    for (const filter of this._filters.keys()) this._subscribe(client, filter);
    this._become("connected", "");
  }

  _subscribe(client, filter) {
    client.subscribe(filter, { qos: 1 }, (error) => {
      if (!error) for (const ready of this._filters.get(filter)?.values() ?? []) ready();
    });
  }

  _lost() {
    const client = this._client;
    this._client = null;
    client?.end(true);
    const wait = BACK_OFF_S[Math.min(this._failures++, BACK_OFF_S.length - 1)] * (0.75 + Math.random() / 2);
    this._timer = setTimeout(() => this._dial(), wait * 1000);
    this._become("lost", this.why || "the server does not answer");
  }

  _drop(why) {
    this.why = why;
    if (this._client) this._lost();
  }

  /** A page that slept may have a socket that is dead and does not know: it is asked, and replaced if it is silent. */
  _wakeUp() {
    if (document.visibilityState === "hidden") return;
    if (!this._client) {
      this._failures = 0;
      this._dial();
    } else if (this.connected && performance.now() - this._heard > PROBE_S * 1000) {
      const client = this._client;
      const asked = performance.now();
      client.sendPing?.();
      setTimeout(() => {
        if (client === this._client && this._heard < asked) this._drop("the server was silent after a sleep");
      }, PROBE_S * 1000);
    }
  }

  _become(state, why) {
    const changed = state !== this.state;
    this.state = state;
    this.why = why;
    if (changed) this.since = performance.now();
    this.dispatchEvent(new Event("state"));
  }

  _message(topic, payload, retained) {
    for (const [filter, handlers] of this._filters) {
      if (!matches(filter, topic)) continue;
      for (const handler of [...handlers.keys()]) {
        try {
          handler(payload, topic, retained);
        } catch (error) {
          console.error(`a message to ${topic} was not understood`, error);
        }
      }
    }
  }
}

/** A connection of its own, for what must not wait behind anything else. */
export function dial(url, identifier) {
  return mqtt.connect(url, {
    clientId: identifier,
    protocolVersion: 4,
    clean: true,
    keepalive: KEEPALIVE_S,
    connectTimeout: 5000,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    timerVariant: "native",
  });
}

/** Whether an MQTT topic filter (with + and #) matches a topic. */
export function matches(filter, topic) {
  if (filter === topic) return true;
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [place, level] of wanted.entries()) {
    if (level === "#") return true;
    if (place >= levels.length || (level !== "+" && level !== levels[place])) return false;
  }
  return wanted.length === levels.length;
}

/** So many random letters and digits; `crypto.randomUUID` is not there on pages without TLS. */
export function randomId(bytes = 8) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
