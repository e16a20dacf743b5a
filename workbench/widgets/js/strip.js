// A strip of tokens: one box a token, arrows move along it, a click selects.

const SHOWN_PIECE = 1000; // bytes of one token; a longer one is cut with a count

class Strip {
  // `pick(i)` is called for the token that the user chose.
  constructor(label, pick) {
    this.pick = pick;
    this.box = h("div", { class: "wb-strip", tabindex: 0, role: "listbox", "aria-label": label });
    this.view = new Chunks(this.box, (chunk) => this.fill(chunk));
    this.at = -1;
    this.chosen = new Set();
    this.n = 0;
    this.box.addEventListener("click", (event) => this.clicked(event));
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  // `data`: {n, pieces, offsets}; `look(i)` gives {kind: class names, words: hover text}.
  show(data, look) {
    this.data = data;
    this.look = look;
    this.n = data.offsets.length - 1;
    this.chosen = new Set([...this.chosen].filter((i) => i < this.n));
    this.at = Math.min(this.at, this.n - 1);
    this.view.show(this.cut());
    if (!this.n) this.box.replaceChildren(h("span", { class: "wb-quiet", text: "no tokens" }));
  }

  // Chunks end at line ends where they can, so that lines break as they do in one piece.
  cut() {
    const { pieces, offsets } = this.data;
    const chunks = [];
    for (let start = 0, i = 0; i < this.n; i++) {
      const size = i + 1 - start;
      const lineEnds = offsets[i + 1] > offsets[i] && pieces[offsets[i + 1] - 1] === 10;
      if (i + 1 < this.n && size < 500 && !(size >= 150 && lineEnds)) continue;
      chunks.push({ start, end: i + 1, weight: (offsets[i + 1] - offsets[start]) * 1.1 + size });
      start = i + 1;
    }
    return chunks;
  }

  fill(chunk) {
    const fragment = document.createDocumentFragment();
    for (let i = chunk.start; i < chunk.end; i++) {
      const { kind, words } = this.look(i);
      const piece = clippedBytes(this.data.pieces, this.data.offsets[i], this.data.offsets[i + 1], SHOWN_PIECE);
      const text = piece.replace(/\n+$/, "");
      const on = this.chosen.has(i);
      const box = h("span", { class: `wb-t ${kind}${on ? " wb-on" : ""}${i === this.at ? " wb-at" : ""}`, role: "option", "aria-selected": String(on), title: words, text });
      box.dataset.i = i;
      fragment.append(box);
      if (text !== piece) fragment.append("\n".repeat(piece.length - text.length));
    }
    return fragment;
  }

  // Mark tokens; `at` is the one that arrows start from. Brings it into view unless the user is in this strip.
  mark(indices, at) {
    this.chosen = new Set(indices);
    this.at = at ?? indices[0] ?? -1;
    this.view.redraw();
    if (this.at < 0 || !this.view.chunks.length) return;
    const chunk = this.view.chunks[lastNotBehind(Int32Array.from(this.view.chunks, (c) => c.start), this.at)];
    this.view.reveal(chunk, (el) => el.querySelector(`[data-i="${this.at}"]`));
  }

  clicked(event) {
    const box = event.target.closest?.(".wb-t");
    if (box) this.pick(Number(box.dataset.i));
  }

  key(event) {
    const last = this.n - 1;
    const now = this.at < 0 ? -1 : this.at;
    const goal = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: last, ArrowDown: this.below(1), ArrowUp: this.below(-1) }[event.key];
    if (goal === undefined || event.ctrlKey || event.metaKey || event.altKey || !this.n) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab moves between cells with the same keys
    this.pick(Math.max(0, Math.min(last, goal)));
  }

  // The token nearest to the present one on the next (1) or previous (-1) line.
  below(direction) {
    const here = this.box.querySelector(".wb-at")?.getBoundingClientRect();
    if (!here) return Math.max(0, this.at);
    let [best, least] = [this.at, Infinity];
    for (const box of this.box.querySelectorAll(".wb-t")) {
      const there = box.getBoundingClientRect();
      const rows = ((there.top - here.top) * direction) / here.height;
      const away = Math.abs(there.left - here.left) + rows * 2000;
      if (rows > 0.5 && away < least) [best, least] = [Number(box.dataset.i), away];
    }
    return best;
  }
}
