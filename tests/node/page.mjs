// Connect as a page does, with a certificate, and print the first message of a topic.
//   node page.mjs wss://127.0.0.1:8765/mqtt 4 picobridge/lab/status ca.pem eve.pem eve.key
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const [url, version, topic, ca, cert, key] = process.argv.slice(2);

const client = mqtt.connect(url, {
  reconnectPeriod: 0,
  protocolVersion: Number(version),
  ca: readFileSync(ca),
  cert: readFileSync(cert),
  key: readFileSync(key),
});
client.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
client.on("connect", () => client.subscribe(topic, { qos: 1 }));
client.on("message", (_, payload) => client.end(false, () => console.log(payload.toString())));
