// Subscribe to a device's samples, decode the blocks with cbor2, and print one JSON object once `wanted` samples came.
//   node subscribe.mjs mqtt://127.0.0.1:1883 picobridge/lab/devices/pstat/samples 100
import { decode } from "cbor2";
import mqtt from "mqtt";

const [url, topic, wanted] = process.argv.slice(2);

const columns = {};
const units = {};
let received = 0;
let next = null;
let missing = 0;

const client = mqtt.connect(url, { reconnectPeriod: 0 });
client.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
client.on("connect", async () => {
  await client.subscribeAsync(topic, { qos: 1 });
  console.log("subscribed");
});
client.on("message", (_, payload) => {
  const block = decode(payload);
  missing += next === null ? 0 : block.first_index - next;
  let length = 0;
  for (const { name, unit, data } of block.columns) {
    units[name] = unit;
    (columns[name] ??= []).push(...data);
    length = data.length;
  }
  received += length;
  next = Number(block.first_index) + length;
  if (received >= Number(wanted)) {
    const seen = JSON.stringify({ received, missing, units, columns });
    client.removeAllListeners("error").on("error", () => {}); // the broker may hang up first
    client.end(false, () => console.log(seen));
  }
});
