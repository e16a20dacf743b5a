// Strips under each other: lines of tokens, under each token a cell for every variant. It draws and finds its way.

const MOST_LINES = 12; // of a chunk that is drawn at once
const CHARACTER = 7.3; // width in pixels of the code face, for the lines' breaks
const LABEL = 132; // pixels that the names take
let stripBoxes = 0;

class VariantStrips {
  // `pick(i)` is called for the token that the user chose.
  constructor(pick) {
    this.pick = pick;
    this.name = `wb-variants-${Date.now().toString(36)}-${stripBoxes++}`;
    this.at = -1;
    this.legend = h("div", { class: "wb-legend", "aria-label": "colours" });
    this.box = h("div", { class: "wb-strip wb-vbox", tabindex: 0, role: "listbox", "aria-label": "tokens with every variant's cells under them" });
    this.view = new Chunks(this.box, (chunk) => this.fill(chunk));
    this.box.addEventListener("scroll", () => this.view.drawVisible(), { passive: true });
    this.box.addEventListener("click", (event) => this.clicked(event));
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.size = new ResizeObserver(() => this.fit());
    this.size.observe(this.box);
    this.el = h("div", {}, this.legend, this.box);
  }

  show(data) {
    this.data = data;
    this.n = data.ids.length;
    this.flips = data.flips.map((pairs) => new Map(pairs));
    this.looks = data.names.map((_, k) => data[`look_${k}`]);
    this.pieces = Array.from({ length: this.n }, (_, i) => visibleBytes(data.pieces, data.offsets[i], data.offsets[i + 1]).replaceAll("\n", ""));
    this.at = Math.min(this.at, this.n - 1);
    const kinds = data.kind_names.filter((_, k) => data.kinds.includes(k));
    this.legend.replaceChildren(
      ...data.legend.map((words, k) => h("span", { class: `wb-key wb-c-p${k}`, text: words })), h("span", { class: "wb-vgap" }),
      ...kinds.map((kind) => h("span", { class: `wb-key wb-vkind-${kind.replace(" ", "-")}`, text: kind })));
    this.layout();
    if (!this.shown) this.reveal(Math.max(0, data.n_prompt - 1), "top"); // first look: where the answer begins
    this.shown = true;
  }

  // Lines of tokens by the width of the box; the answer begins one.
  layout() {
    this.width = this.box.clientWidth;
    const room = Math.max(160, this.width - LABEL - 24);
    this.lines = [];
    for (let i = 0, first = 0, used = 0; i < this.n; i++) {
      const longest = Math.max(this.pieces[i].length, ...this.flips.map((flips) => flips.get(i)?.length ?? 0));
      const wide = Math.min(40, longest) * CHARACTER + 6;
      if (i > first && (used + wide > room || i === this.data.n_prompt)) {
        this.lines.push([first, i]);
        [first, used] = [i, 0];
      }
      used += wide;
      if (i === this.n - 1) this.lines.push([first, this.n]);
    }
    const chunks = [];
    for (let k = 0; k < this.lines.length; k += MOST_LINES) {
      const lines = this.lines.slice(k, k + MOST_LINES);
      chunks.push({ lines, start: lines[0][0], weight: lines.length * (this.flips.length + 1.5) * 100 });
    }
    this.starts = Int32Array.from(chunks, (chunk) => chunk.start);
    this.view.show(chunks);
    if (!this.n) this.box.replaceChildren(h("span", { class: "wb-quiet", text: "no tokens" }));
  }

  fill(chunk) {
    const fragment = document.createDocumentFragment();
    for (const [start, end] of chunk.lines) {
      const names = ["", ...this.data.names].map((name) => h("span", { class: "wb-vname", title: name, text: visibleText(name) }));
      const line = h("div", { class: `wb-vline${start === this.data.n_prompt ? " wb-vanswer" : ""}` }, h("div", { class: "wb-vnames", "aria-hidden": "true" }, ...names));
      for (let i = start; i < end; i++) line.append(this.token(i));
      fragment.append(line);
    }
    return fragment;
  }

  token(i) {
    const kind = this.data.kind_names[this.data.kinds[i]].replace(" ", "-");
    const cells = this.looks.map((look, k) => h("span", { class: `wb-vcell wb-c-${look[i] === 255 ? "none" : `p${look[i]}`}`, text: this.flips[k].get(i) ?? "" }));
    const box = h("div", { class: `wb-vtoken${i === this.at ? " wb-at" : ""}`, role: "option", id: `${this.name}-${i}`, "aria-selected": String(i === this.at), "aria-label": this.spoken(i) },
      h("span", { class: `wb-vpiece wb-vkind-${kind}`, text: this.pieces[i] }), ...cells);
    box.i = i;
    return box;
  }

  spoken(i) {
    const words = this.looks.map((look, k) => {
      const flip = this.flips[k].get(i);
      return `${this.data.names[k]}: ${this.data.legend[look[i]] ?? "nothing before it"}${flip ? `, expects ${flip}` : ""}`;
    });
    return [`token ${i} ${this.pieces[i]}`, this.data.kind_names[this.data.kinds[i]], ...words].join("; ");
  }

  // Make token i the chosen one.
  mark(i) {
    this.at = i ?? -1;
    for (const box of this.box.querySelectorAll(".wb-vtoken")) {
      box.classList.toggle("wb-at", box.i === this.at);
      box.setAttribute("aria-selected", String(box.i === this.at));
    }
    if (this.at >= 0) this.box.setAttribute("aria-activedescendant", `${this.name}-${this.at}`);
  }

  clicked(event) {
    const box = event.target.closest?.(".wb-vtoken");
    if (!box) return;
    this.box.focus({ preventScroll: true });
    this.choose(box.i);
  }

  choose(i) {
    this.mark(i);
    this.pick(i);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.n) return;
    const { at } = this;
    const goals = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, ArrowDown: () => this.below(1), ArrowUp: () => this.below(-1), Home: () => 0, End: () => this.n - 1, n: () => this.flip(1), p: () => this.flip(-1) };
    event.stopPropagation(); // JupyterLab moves between cells with the same keys
    if (!goals[event.key]) return;
    event.preventDefault();
    const goal = Math.max(0, Math.min(this.n - 1, goals[event.key]()));
    this.choose(goal);
    this.reveal(goal);
  }

  // The next (1) or previous (-1) token at which a first place differs.
  flip(direction) {
    for (let i = this.at + direction; i >= 0 && i < this.n; i += direction) if (this.flips.some((flips) => flips.has(i))) return i;
    return this.at;
  }

  // The token at the same place of the next (1) or previous (-1) line.
  below(direction) {
    const here = this.lines.findIndex(([start, end]) => this.at >= start && this.at < end);
    const line = this.lines[here + direction];
    if (!line) return this.at;
    return Math.min(line[1] - 1, line[0] + this.at - this.lines[here][0]);
  }

  reveal(i, place = "near") {
    const chunk = this.view.chunks[lastNotBehind(this.starts, i)];
    if (!chunk) return;
    this.view.draw(chunk);
    const token = chunk.el.querySelector(`#${this.name}-${i}`);
    if (!token) return;
    for (let pass = 0; pass < 2; pass++) {
      const [a, b] = [token.getBoundingClientRect(), this.box.getBoundingClientRect()];
      if (place === "top" && !pass) this.box.scrollTop += a.top - b.top - 8;
      else if (a.top < b.top) this.box.scrollTop += a.top - b.top - 8;
      else if (a.bottom > b.bottom) this.box.scrollTop += a.bottom - b.bottom + 8;
      this.view.drawVisible();
    }
  }

  // Another width breaks the lines elsewhere.
  fit() {
    if (!this.data || !this.box.clientWidth || this.box.clientWidth === this.width) return;
    const top = this.box.scrollTop;
    this.layout();
    if (this.at >= 0) this.reveal(this.at);
    else this.box.scrollTop = top;
  }

  close() {
    this.size.disconnect();
    this.view.close();
  }
}
