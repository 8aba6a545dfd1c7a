// Drawing in step with the screen: whatever happens between two frames costs one drawing.

const waiting = new Set();
let asked = false;

/** Call `draw` before the next frame, once however often this is asked. */
export function nextFrame(draw) {
  waiting.add(draw);
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const now = [...waiting];
    waiting.clear();
    for (const each of now) each();
  });
}

/** Draw now, and again after events of these types, at most once a frame, until `signal` is aborted. */
export function watch(target, types, draw, signal) {
  const guarded = () => {
    if (!signal.aborted) draw();
  };
  for (const type of types) target.addEventListener(type, () => nextFrame(guarded), { signal });
  guarded();
}

/** Draw now and every so many seconds. */
export function every(seconds, draw, signal) {
  const timer = setInterval(draw, seconds * 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
  draw();
}
