// The bridges of a broker: one Lab each, made as they are heard of.

import { Lab } from "./lab.js";

const TEXT = new TextDecoder();

/** Events: "change" when a bridge was found, or another one is looked at. */
export class Labs extends EventTarget {
  /** `config` is what the server says in /config.json. */
  constructor(connection, config, client) {
    super();
    this.connection = connection;
    this.config = config;
    this.found = new Map();
    this.account = { user: config.user ?? "", role: config.role ?? "", client };
    this.home = this._add(config.prefix);
    this.current = this.home;
    // with users, the broker lets each hear her own bridge only
    if (!config.user) {
      const others = `${config.prefix.split("/").slice(0, -1).concat("+").join("/")}/status`;
      connection.subscribe(others, (payload, topic) => this._heard(payload, topic.slice(0, -"/status".length)));
    }
  }

  choose(lab) {
    if (lab === this.current) return;
    this.current = lab;
    this.dispatchEvent(new Event("change"));
  }

  byName(name) {
    return [...this.found.values()].find((lab) => lab.name === name);
  }

  _heard(payload, prefix) {
    if (this.found.has(prefix) || !payload.length) return;
    if (JSON.parse(TEXT.decode(payload)).bridge) this._add(prefix);
    this.dispatchEvent(new Event("change"));
  }

  _add(prefix) {
    const lab = new Lab(this.connection, prefix, this.account);
    this.found.set(prefix, lab);
    return lab;
  }
}
