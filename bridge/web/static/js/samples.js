// Blocks of samples as docs/mqtt.md describes them, decoded to the same float64 columns.

import "../vendor/cbor-x.js";

const decoder = new globalThis.CBOR.Decoder({ useRecords: false, mapsAsObjects: true, int64AsNumber: true });

/**
 * {stream, firstIndex, nextIndex, end, attributes, columns: Map(name -> {unit, data}), time: Float64Array or null}.
 * `time` is UTC in seconds since 1970. Throws for what is no block.
 */
export function decodeBlock(payload) {
  const message = decoder.decode(payload);
  if (message?.v !== 1 || typeof message.stream !== "string" || !Number.isSafeInteger(message.first_index)) {
    throw new Error("not a block of samples of version 1");
  }
  const columns = new Map(message.columns.map(({ name, unit, data }) => [name, { unit, data }]));
  const length = message.columns[0]?.data.length ?? 0;
  const seconds = columns.get("time_s")?.data;
  return {
    stream: message.stream,
    firstIndex: message.first_index,
    nextIndex: message.first_index + length,
    end: message.end ?? null,
    attributes: message.attributes ?? {},
    columns,
    time: seconds ? absolute(seconds, Number(message.start_time_ns) / 1e9) : null,
  };
}

/** The bits of the column `flags` (drivers.samples.Flag) in words. */
const FLAGS = [
  [1, "overload"], [2, "compliance"], [4, "range compliance"], [8, "underload"], [16, "overload warning"],
  [32, "timing"], [64, "no value"], [128, "settling"], [256, "gap before"],
];

export function flagWords(flags) {
  return FLAGS.filter(([bit]) => flags & bit).map(([, word]) => word);
}

function absolute(seconds, start) {
  const time = new Float64Array(seconds.length);
  for (let place = 0; place < time.length; place++) time[place] = start + seconds[place];
  return time;
}
