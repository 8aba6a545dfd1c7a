// Requests to one daemon, as docs/mqtt.md says: an id, an expiry, a reply.

import { randomId } from "./connection.js";

const TEXT = new TextDecoder();
const EXPIRES_S = 20;
const PATIENCE_S = 15;

/** What the daemon answered instead of a result, in its words. */
export class Refusal extends Error {
  constructor(error) {
    super(String(error?.message ?? "unknown error"));
    this.kind = String(error?.error ?? "PicobridgeError");
    this.device = String(error?.device ?? "");
    this.hint = String(error?.hint ?? "");
    this.detail = error?.detail ?? {};
  }
}

export class Requests {
  /** `user` is "" on a bridge without users; `client` names this page. */
  constructor(connection, prefix, user, client) {
    this.connection = connection;
    this.prefix = prefix;
    this.user = user;
    this.client = user ? `${user}-${client}` : client;
    this.replyTo = user ? `${prefix}/reply/${user}/${client}` : `${prefix}/reply/${client}`;
    this.replayTopic = user ? `${prefix}/replay/${user}/${client}` : `${prefix}/replay/${client}`;
    this._waiting = new Map();
    /** The daemon's clock less ours, as far as it has told. */
    this._offset = 0;
    this._end = connection.subscribe(this.replyTo, (payload) => this.hear(payload));
  }

  close() {
    this._end();
    for (const { reject } of this._waiting.values()) reject(new Error("the page has left this bridge"));
  }

  /** The result. Rejects with `Refusal`, or with `Error` when no answer came. */
  async ask(method, params = {}, { patience = PATIENCE_S, lease = null } = {}) {
    try {
      return await this._ask(method, params, patience, lease);
    } catch (error) {
      const time = error.detail?.daemon_time_s;
      if (typeof time !== "number") throw error;
      this._offset = time - Date.now() / 1000; // this computer's clock is wrong: the daemon was so kind to say its own
      return this._ask(method, params, patience, lease);
    }
  }

  /** Topic and payload of a request, for who sends it in another way. */
  compose(method, params, { id = randomId(16), lease = null } = {}) {
    const now = Date.now() / 1000 + this._offset;
    const request = { id, from: this.client, expires_at: now + EXPIRES_S, reply_to: this.replyTo };
    if (lease) Object.assign(request, { lease: lease.lease, fence: lease.fence });
    if (Object.keys(params).length) request.params = params;
    const topic = this.user ? `${this.prefix}/request/${this.user}/${method}` : `${this.prefix}/request/${method}`;
    return { id, topic, payload: JSON.stringify(request) };
  }

  /** The answer to a request with this id, whoever sends it. */
  answer(id, patience) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this._waiting.delete(id);
        reject(new Error("the daemon has not answered; it may have done it all the same"));
      }, patience * 1000);
      const settle = (how) => (value) => {
        clearTimeout(timer);
        this._waiting.delete(id);
        how(value);
      };
      this._waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
  }

  async _ask(method, params, patience, lease) {
    const { id, topic, payload } = this.compose(method, params, { lease });
    const answer = this.answer(id, patience);
    this.connection.publish(topic, payload).catch((error) => {
      this._waiting.get(id)?.reject(new Error(error.perhaps ? `${method} may have arrived: ${error.message}. Look before you ask again.` : `${method} was not sent: ${error.message}`));
    });
    return answer;
  }

  /** A reply, by whichever connection it came. */
  hear(payload) {
    const reply = JSON.parse(TEXT.decode(payload));
    const waiting = this._waiting.get(reply.id);
    if (!waiting) return;
    if (reply.ok) waiting.resolve(reply.result);
    else waiting.reject(new Refusal(reply.error));
  }
}
