// Header, navigation, and the view that is looked at.

import { h, keyed, replace, setText } from "./dom.js";
import { watch } from "./frame.js";
import { Notices } from "./notices.js";
import { address, parseAddress } from "./router.js";
import { stopButton } from "./stop.js";
import { themeSwitch } from "./theme.js";
import { VIEWS } from "./views/index.js";

export class Shell {
  constructor(labs) {
    this.labs = labs;
    this._main = document.getElementById("view");
    this._rail = document.getElementById("rail");
    this._links = h("div", { class: "links" });
    this._left = null;
    this._shown = "";
    this._labSignal = null;
  }

  open() {
    this._header();
    this._rail.append(this._links, h("div", { class: "rest" }, themeSwitch()));
    window.addEventListener("hashchange", () => this._go());
    this.labs.addEventListener("change", () => this._go());
    this._go();
  }

  _go() {
    const { bridge, view: id, path } = parseAddress(location.hash);
    const lab = this.labs.byName(bridge) ?? (bridge && bridge !== this.labs.current.name ? null : this.labs.current);
    // a bridge that has not been heard of yet: the one at hand, until it is
    const shown = lab ?? this.labs.current;
    if (lab && lab !== this.labs.current) {
      this.labs.choose(lab);
      return;
    }
    const view = VIEWS.find((each) => each.id === id) ?? VIEWS[0];
    const key = [shown.prefix, view.id, ...path].join("/");
    this._attend(shown);
    this._navigation(shown, view);
    if (key === this._shown) return;
    const moved = this._shown !== "";
    this._shown = key;
    this._show(view, shown, path);
    if (moved) {
      this._main.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
  }

  _show(view, lab, path) {
    this._left?.abort();
    const left = (this._left = new AbortController());
    const root = replace(this._main, h("div", { class: `view ${view.id}` })).firstElementChild;
    document.title = `${view.title} – ${lab.name} – picobridge`;
    const context = {
      lab,
      path,
      signal: left.signal,
      link: (id, ...rest) => address(lab.name, id, ...rest),
      go: (id, ...rest) => (location.hash = address(lab.name, id, ...rest)),
      watch: (target, types, draw) => watch(target, types, draw, left.signal),
      follow: (device) => lab.follow(device, left.signal),
    };
    try {
      view.mount(root, context);
    } catch (error) {
      console.error(error);
      replace(root, h("h1", {}, view.title), h("p", { class: "empty" }, `This view broke: ${error.message}. The others go on.`));
    }
  }

  _header() {
    const top = document.getElementById("top");
    this._bridges = h("select", { class: "input", "aria-label": "Bridge", onchange: (event) => (location.hash = address(event.target.value, this._id)) });
    this._name = h("span", { class: "bridge-name" });
    this._state = h("span", { class: "pill" });
    this._who = h("span", { class: "who small muted" });
    replace(top, h("span", { class: "brand" }, "picobridge"), h("span", { class: "bridge" }, this._name, this._bridges), this._state,
      h("span", { class: "spread" }), this._who, stopButton(this.labs));
  }

  /** What is always shown of the bridge that is looked at. */
  _attend(lab) {
    if (this._attended === lab) return;
    this._attended = lab;
    this._labSignal?.abort();
    const { signal } = (this._labSignal = new AbortController());
    watch(lab, ["status", "health", "device", "runs", "event"], () => this._status(lab), signal);
    new Notices(document.getElementById("notices"), lab, signal);
  }

  _status(lab) {
    const [kind, text] = statusOf(lab);
    this._state.className = `pill ${kind}`;
    setText(this._state, text);
    const { user, role } = lab.account;
    setText(this._who, user ? `${user}, ${role}` : lab.status?.access ? "not logged in" : "");
    this._badges(lab);
  }

  _navigation(lab, view) {
    this._id = view.id;
    const labs = [...this.labs.found.values()].sort((a, b) => a.name.localeCompare(b.name));
    this._bridges.hidden = labs.length < 2;
    this._name.hidden = labs.length > 1;
    setText(this._name, lab.name);
    keyed(this._bridges, labs, (each) => each.name, (each) => h("option", { value: each.name }, each.name));
    this._bridges.value = lab.name;
    replace(this._links, VIEWS.map((each) => h("a", { href: address(lab.name, each.id), "aria-current": each === view && "page" },
      h("span", {}, each.title), h("span", { class: "badge", hidden: true, "data-view": each.id }))));
    const here = this._links.querySelector("[aria-current]");
    this._rail.scrollLeft = Math.max(0, here.offsetLeft - this._rail.clientWidth / 2);
    this._badges(lab);
  }

  _badges(lab) {
    for (const view of VIEWS) {
      const badge = this._links.querySelector(`[data-view="${view.id}"]`);
      const said = view.badge?.(lab);
      if (!badge) continue;
      badge.hidden = !said;
      badge.className = `badge ${said?.kind ?? ""}`;
      setText(badge, said ? String(said.text) : "");
    }
  }
}

/** [kind, words] of how a bridge is. */
export function statusOf(lab) {
  if (lab.connection.state === "connecting" || (lab.connection.connected && !(lab.status && lab.health))) return ["", "Connecting"];
  if (!lab.connection.connected) return ["danger", "No connection"];
  if (lab.doubt) return ["danger", "Daemon off"];
  const status = lab.health?.status;
  if (status === "fault") return ["danger", "Fault latched"];
  if (status === "degraded") return ["warning", "Needs a look"];
  return ["ok", lab.running.length ? "Running" : "Ready"];
}
