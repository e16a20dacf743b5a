// The box of tokens: only those near the visible part are in the page. It draws and finds its way, and decides nothing.

const NO_STEP = 255;
const CHUNK = [150, 400]; // tokens: a chunk ends at a line end behind the first, at the latest behind the second
const LINE = 23; // height of a line in pixels, for a first guess of a chunk's height
let boxes = 0;

class TokenBox {
  constructor() {
    this.name = `wb-tokens-${Date.now().toString(36)}-${boxes++}`;
    this.n = 0;
    this.at = -1; // the token that keys start from
    this.range = [0, 0]; // the selected tokens
    this.el = h("div", { class: "wb-strip", tabindex: 0, role: "listbox", "aria-multiselectable": "true", "aria-label": "tokens" },
      h("span", { class: "wb-quiet", text: "The tokens are in the kernel, which has not sent them yet." }));
    this.view = new Chunks(this.el, (chunk) => this.fill(chunk));
    this.el.addEventListener("scroll", () => this.view.drawVisible(), { passive: true });
    this.el.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault()); // no text is marked
    this.size = new ResizeObserver(() => this.fit());
    this.size.observe(this.el);
  }

  // Show tokens; `look`, a step for each, and `steps` are there already.
  show(data) {
    this.data = data;
    this.n = data.ids.length;
    this.hit = new Uint8Array(this.n);
    this.width = this.el.clientWidth;
    this.view.show(this.cut());
    if (!this.n) this.el.replaceChildren(h("span", { class: "wb-quiet", text: "no tokens" }));
  }

  // Colour by `look`, for each token an index of `steps`, whose first entry names its colours.
  colour(look, steps) {
    [this.look, this.steps] = [look, steps];
    this.redress();
  }

  // Mark the tokens of some ranges as found.
  found(ranges) {
    this.hit.fill(0);
    for (const [start, end] of ranges) this.hit.fill(1, start, end);
    this.redress();
  }

  cut() {
    const { pieces, offsets } = this.data;
    const line = Math.max(20, (this.el.clientWidth - 24) / 8); // characters
    const chunks = [];
    for (let start = 0, weight = 0, i = 0; i < this.n; i++) {
      const lineEnds = offsets[i + 1] > offsets[i] && pieces[offsets[i + 1] - 1] === 10;
      weight += Math.min(SHOWN_BYTES, offsets[i + 1] - offsets[i]) + 0.8 + (lineEnds ? line / 2 : 0);
      const size = i + 1 - start;
      if (i + 1 < this.n && size < CHUNK[1] && !(size >= CHUNK[0] && lineEnds)) continue;
      chunks.push({ start, end: i + 1, weight });
      [start, weight] = [i + 1, 0];
    }
    this.starts = Int32Array.from(chunks, (chunk) => chunk.start);
    return chunks;
  }

  fill(chunk) {
    const fragment = document.createDocumentFragment();
    for (let i = chunk.start; i < chunk.end; i++) {
      const piece = pieceText(this.data, i);
      const text = piece.replace(/\n$/, "");
      const box = document.createElement("span");
      [box.id, box.textContent] = [`${this.name}-${i}`, text];
      box.setAttribute("role", "option");
      box.setAttribute("aria-posinset", i + 1);
      box.setAttribute("aria-setsize", this.n);
      [box.i, box.broken] = [i, text.includes("\n")];
      this.dress(box);
      fragment.append(box);
      if (text !== piece) fragment.append(...Array.from({ length: text.endsWith("↵↵") ? 2 : 1 }, () => document.createElement("br")));
    }
    return fragment;
  }

  // One token's colours and marks.
  dress(box) {
    const { i } = box;
    const step = this.look[i];
    const kind = this.data.control_like[i] ? "alike" : TYPES[this.data.types[i]];
    let kinds = `wb-t wb-k-${kind} wb-c-${step === NO_STEP ? "none" : this.steps[step][0]}`;
    if (box.broken) kinds += " wb-broken";
    if (this.hit[i]) kinds += " wb-hit";
    const chosen = i >= this.range[0] && i < this.range[1];
    if (chosen) kinds += ` wb-chosen${i === this.range[0] ? " wb-first" : ""}${i === this.range[1] - 1 ? " wb-last" : ""}`;
    if (i === this.at) kinds += " wb-at";
    if (box.className !== kinds) box.className = kinds;
    box.setAttribute("aria-selected", String(chosen));
    if (i === this.at) box.setAttribute("aria-label", this.spoken(i));
    else box.removeAttribute("aria-label");
  }

  spoken(i) {
    return [onOneLine(pieceText(this.data, i)), ...tokenFacts(this.data, i).map((fact) => fact.join(" "))].join(", ");
  }

  drawn() {
    return this.el.querySelectorAll(".wb-t");
  }

  // Colours and marks anew of everything that is drawn.
  redress() {
    this.drawn().forEach((box) => this.dress(box));
    if (this.at >= 0) this.el.setAttribute("aria-activedescendant", `${this.name}-${this.at}`);
  }

  // Another width breaks the lines elsewhere.
  fit() {
    if (!this.n || !this.el.clientWidth || this.el.clientWidth === this.width) return;
    this.width = this.el.clientWidth;
    const top = this.drawnAtTop();
    this.view.show(this.cut());
    if (top > 0) this.reveal(top, "top");
  }

  drawnAtTop() {
    const edge = this.el.getBoundingClientRect().top;
    for (const box of this.drawn()) if (box.getBoundingClientRect().bottom > edge) return box.i;
    return -1;
  }

  chunkOf(i) {
    return this.view.chunks[lastNotBehind(this.starts, i)];
  }

  // Not by the document: a notebook takes cells out of the page that are far away.
  element(chunk, i) {
    return chunk.el.querySelector(`#${this.name}-${i}`);
  }

  // Draw token i and bring it into view: "near" moves as little as it can, "third" puts what was out of sight at a
  // third of the height, "top" at the top. Twice, because drawing what is above may move it.
  reveal(i, place = "near") {
    const chunk = this.chunkOf(i);
    if (!chunk) return;
    this.view.draw(chunk);
    for (let pass = 0; pass < 2; pass++) {
      const token = this.element(chunk, i).getBoundingClientRect();
      this.el.scrollTop += away(token, this.el.getBoundingClientRect(), pass ? "near" : place);
      this.view.drawVisible();
    }
  }

  // The token some pixels below (1) or above (-1) the present one, at least one line away.
  vertical(direction, pixels) {
    const here = Math.max(0, this.at);
    this.reveal(here);
    const from = this.element(this.chunkOf(here), here).getBoundingClientRect();
    const scrolled = this.el.scrollTop;
    this.el.scrollTop += direction * (pixels - LINE);
    this.view.drawVisible();
    const line = from.top - (this.el.scrollTop - scrolled); // where the present one is now
    const [goal, left] = [line + direction * pixels, from.left];
    let [best, least] = [this.at, Infinity];
    for (const box of this.drawn()) {
      const there = box.getBoundingClientRect();
      if ((there.top - line) * direction < LINE / 2) continue;
      const away = Math.abs(there.left - left) + Math.abs(there.top - goal) * 2000;
      if (away < least) [best, least] = [box.i, away];
    }
    return best;
  }

  indexOf(target) {
    return target.closest?.(".wb-t")?.i;
  }

  close() {
    this.size.disconnect();
    this.view.close();
  }
}

// How far a box has to scroll so that it shows a token.
function away(token, box, place) {
  const [above, below] = [token.top - box.top - 4, token.bottom - box.bottom + 4];
  if (place === "top") return above;
  if (above >= 0 && below <= 0) return 0;
  if (place === "third") return token.top - box.top - box.height / 3;
  return above < 0 ? above - LINE / 2 : below + LINE / 2;
}
