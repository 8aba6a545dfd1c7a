import { h } from "../dom.js";

export const overview = {
  id: "overview",
  title: "Overview",
  mount(root, { lab, watch }) {
    const list = h("ul");
    root.append(h("h1", {}, "Overview"), list);
    watch(lab, ["device"], () => list.replaceChildren(...[...lab.devices.keys()].map((name) => h("li", {}, name))));
  },
};
