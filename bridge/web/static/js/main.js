// Begins here: who am I, one connection, the bridges on it, the frame around the view.

import { Connection, randomId } from "./connection.js";
import { replace, h } from "./dom.js";
import { Labs } from "./labs.js";
import { Shell } from "./shell.js";

async function begin() {
  const config = await read("/config.json");
  const client = `page-${randomId(4)}`;
  const url = new URL(config.relay, location.href.replace(/^http/, "ws")).href;
  const connection = new Connection(url, client);
  const labs = new Labs(connection, config, client);
  new Shell(labs).open();
  connection.open();
  connection.addEventListener("state", () => connection.connected && again(labs));
  globalThis.picobridge = labs; // for whoever looks from the browser's console, and for the tests
}

/** After a reconnection: the daemon may be another one by now, and the reader's role as well. */
async function again(labs) {
  try {
    const config = await read("/config.json");
    if (config.prefix !== labs.config.prefix || (config.user ?? "") !== labs.account.user) location.reload();
    labs.account.role = config.role ?? "";
  } catch (error) {
    console.info(`who one is here could not be asked again: ${error.message}`);
  }
}

async function read(path) {
  const response = await fetch(path, { cache: "no-store" });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return response.json();
}

begin().catch((error) => {
  console.error(error);
  replace(
    document.getElementById("view"),
    h("h1", {}, "The page could not be started"),
    h("p", { class: "empty" }, `${error.message}. Is the daemon running? On the lab PC, “picobridge emergency-stop” works without this page.`),
    h("button", { class: "button", onclick: () => location.reload() }, "Try again"),
  );
});
