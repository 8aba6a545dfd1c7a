// The address says bridge, view and what of it is looked at: #/lab/runs/20261124-064133-1. So every place can be linked to.

/** "#/lab/runs/x" as {bridge, view, path: ["x"]}; what is missing is "". */
export function parseAddress(hash) {
  const [bridge = "", view = "", ...path] = hash.replace(/^#\/?/, "").split("/").map(decode);
  return { bridge, view, path };
}

export function address(bridge, view, ...path) {
  return `#/${[bridge, view, ...path].map(encodeURIComponent).join("/")}`;
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
