// What a run shows while it goes (`items` in docs/mqtt.md): asked for page by page whenever its state says that there is more,
// so that a page that comes late, or slept, has all of it.

/** A failed question is asked again after this, whatever the state says meanwhile. */
const AGAIN_MS = 2000;

export class Items {
  /** `take(header, items)` gets what is new: a header (null if it is the one before) and items, each once. */
  constructor(lab, run, take, signal) {
    this._lab = lab;
    this._run = run;
    this._take = take;
    this._signal = signal;
    this._next = 0;
    this._edition = 0;
    this._asking = false;
    this._notBefore = 0;
    lab.addEventListener("runs", (event) => event.detail === run && this.look(), { signal });
    lab.addEventListener("status", () => this.look(), { signal });
    this.look();
  }

  /** Whether there is more than is here. */
  get behind() {
    const said = this._lab.runs.get(this._run)?.items;
    return Boolean(said) && (said.count !== this._next || said.edition !== this._edition);
  }

  async look() {
    if (this._asking || !this.behind || this._signal.aborted || this._lab.doubt || performance.now() < this._notBefore) return;
    this._asking = true;
    try {
      while (this.behind && !this._signal.aborted) {
        const answer = await this._lab.ask("items", { run: this._run, since: this._next, edition: this._edition });
        if (this._signal.aborted) return;
        if (answer.count < this._next) return; // it has ended: the result has them
        const nothing = answer.next === this._next && answer.edition === this._edition;
        [this._next, this._edition] = [answer.next, answer.edition];
        this._take(answer.header, answer.items);
        if (nothing) return; // the state is a message ahead, or behind
      }
    } catch (error) {
      this._notBefore = performance.now() + AGAIN_MS;
      setTimeout(() => this.look(), AGAIN_MS + 50);
      console.info(`items of ${this._run}: ${error.message}`);
    } finally {
      this._asking = false;
    }
  }
}
