// The token strip: a box of tokens with colours, a search and a selection. Selection, colour and query are Python's, too.

const KINDS = ["control", "user_defined", "byte", "unknown", "unused"];

class TokenStrip {
  constructor(model, el) {
    this.model = model;
    this.data = null;
    this.anchor = -1; // the end of a selection that stays where it is when shift moves the other
    this.hits = [];
    this.box = new TokenBox();
    this.root = h("div", { class: "wb wb-token-strip", "data-lm-suppress-shortcuts": "true" }, this.head(), this.keys(), this.strip(), this.foot());
    this.root.addEventListener("keydown", (event) => this.heard(event));
    el.append(this.root);
    this.theme();
    this.listen();
  }

  // -- what it is made of ----------------------------------------------------------------------------

  head() {
    const button = (text, words, press) => h("button", { class: "wb-button", text, title: words, "aria-label": words, onclick: press });
    this.total = h("span", { class: "wb-aside" });
    this.colour = h("select", { "aria-label": "colour by", onchange: () => this.tell("colour", this.colour.value) });
    this.field = h("input", { type: "text", class: "wb-query", placeholder: "text, id:1, bytes:e2 80, type:control", "aria-label": "search tokens", spellcheck: "false", autocomplete: "off" });
    this.field.addEventListener("input", () => this.tell("query", this.field.value));
    this.field.addEventListener("keydown", (event) => this.searching(event));
    this.places = h("span", { class: "wb-places", role: "status" });
    const freeze = button("Freeze", "replace this live view by a static copy of what it shows", () => this.model.send({ type: "freeze" }));
    const search = h("span", { class: "wb-search" }, this.field, button("↑", "previous place (Shift+Enter)", () => this.next(-1)), button("↓", "next place (Enter)", () => this.next(1)), this.places);
    return h("header", { class: "wb-head" }, h("h3", { text: "Tokens" }), this.total, h("label", { class: "wb-by" }, "colour by", this.colour), search, h("span", { class: "wb-gap" }), freeze);
  }

  keys() {
    this.legend = h("div", { class: "wb-legend", "aria-label": "colours" });
    this.kinds = h("div", { class: "wb-legend", "aria-label": "types" });
    return h("div", { class: "wb-strip-keys" }, this.legend, this.kinds);
  }

  strip() {
    const { el } = this.box;
    el.addEventListener("click", (event) => this.clicked(event));
    el.addEventListener("keydown", (event) => this.moved(event));
    el.addEventListener("pointerover", (event) => this.explain(this.box.indexOf(event.target) ?? this.box.at));
    el.addEventListener("pointerleave", () => this.explain(this.box.at));
    el.addEventListener("focus", () => this.box.at < 0 && this.box.n && this.mark(0));
    return el;
  }

  foot() {
    this.said = h("div", { class: "wb-range", role: "status" });
    this.info = h("div", { class: "wb-inspector wb-token-info" });
    return h("div", {}, this.said, this.info);
  }

  // -- Python ----------------------------------------------------------------------------------------

  listen() {
    const handlers = {
      "msg:custom": (message, buffers) => message.type === "tokens" && this.show(decode(message, buffers)),
      "change:selection": () => this.told(),
      "change:colour": () => this.recolour(),
      "change:query": () => this.search(),
    };
    for (const [name, handler] of Object.entries(handlers)) this.model.on(name, handler);
    this.watch = new MutationObserver(() => this.theme());
    this.watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
    this.close = () => {
      for (const [name, handler] of Object.entries(handlers)) this.model.off(name, handler);
      this.watch.disconnect();
      this.box.close();
    };
    this.model.send({ type: "hello" });
  }

  tell(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  show(data) {
    if (this.data) return; // another view of the same widget asked
    this.data = data;
    this.finder = new TokenSearch(data);
    this.total.textContent = count(data.ids.length);
    this.colour.replaceChildren(...Object.keys(data.colours).map((name) => h("option", { value: name, text: name })));
    this.kinds.replaceChildren(...this.typeKeys());
    this.recolour();
    this.box.show(data);
    this.search();
    this.told();
    this.root.dataset.ready = "1";
    keepCopiesHidden(this.root);
  }

  // The selection that Python holds; where it is not the one on screen, the view goes there.
  told() {
    const [start, end] = this.model.get("selection") ?? [0, 0];
    const [from, to] = this.box.range;
    if (!this.data || (start === from && end === to)) return this.explain(this.box.at);
    [this.box.range, this.anchor] = [[start, end], start];
    this.mark(end > start ? end - 1 : this.box.at);
    if (end > start) this.box.reveal(start, "third");
  }

  recolour() {
    if (!this.data) return;
    const name = this.model.get("colour");
    this.colour.value = name;
    const [look, steps] = [this.data[`look_${name}`], this.data.colours[name]];
    const counts = new Uint32Array(256);
    look.forEach((step) => counts[step]++);
    const keys = steps.map(([key, words], i) => words && counts[i] && h("span", { class: `wb-key wb-c-${key}`, text: `${words}: ${count(counts[i])}` }));
    this.legend.replaceChildren(...keys.filter(Boolean));
    this.box.colour(look, steps);
  }

  // How many tokens of each special type there are; a click searches them.
  typeKeys() {
    const { types, control_like: alike } = this.data;
    const key = (kind, words, n, query) => n > 0 && h("button", { class: `wb-key wb-k-${kind}`, title: `search ${query}`, text: `${words}: ${count(n)}`, onclick: () => this.put(query) });
    const keys = KINDS.map((kind) => key(kind, kind.replace("_", "-"), types.filter((t) => t === TYPES.indexOf(kind)).length, `type:${kind}`));
    keys.push(key("alike", "normal, looks like control", alike.filter((one) => one).length, `type:${CONTROL_LIKE}`));
    return keys.filter(Boolean);
  }

  explain(i) {
    if (!this.data) return;
    this.said.textContent = rangeWords(this.data, ...this.box.range);
    if (i < 0) return this.info.replaceChildren(h("span", { class: "wb-quiet", text: "point at a token, or move with the arrow keys" }));
    const facts = tokenFacts(this.data, i).map(([name, words]) => h("span", { class: "wb-fact" }, h("b", { text: name }), ` ${words}`));
    this.info.replaceChildren(h("span", { class: "wb-fact" }, h("b", { text: `#${count(i)}` }), " ", h("span", { class: "wb-mono wb-token-piece", text: onOneLine(pieceText(this.data, i)) })), ...facts);
  }

  // -- choosing --------------------------------------------------------------------------------------

  // Make token i the one that keys start from.
  mark(i) {
    this.box.at = i;
    this.box.redress();
    this.explain(i);
    this.tally();
  }

  // Select from the anchor to i, or i alone.
  select(i, extend) {
    if (!extend || this.anchor < 0) this.anchor = i;
    this.choose([Math.min(this.anchor, i), Math.max(this.anchor, i) + 1], i);
  }

  // Select a range; keys go on from token `at`.
  choose(range, at) {
    this.box.range = range;
    this.mark(at);
    this.tell("selection", range);
  }

  clicked(event) {
    const i = this.box.indexOf(event.target);
    if (i === undefined) return;
    this.box.el.focus({ preventScroll: true });
    this.select(i, event.shiftKey);
  }

  // -- keys ------------------------------------------------------------------------------------------

  heard(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // JupyterLab moves, cuts and runs cells with plain keys
    if (event.key !== "/" || event.target === this.field) return;
    event.preventDefault();
    this.field.focus();
    this.field.select();
  }

  moved(event) {
    const { at, n, el } = this.box;
    if (!n || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = el.clientHeight - LINE;
    const goals = {
      ArrowRight: () => at + 1, ArrowLeft: () => at - 1, Home: () => 0, End: () => n - 1,
      ArrowDown: () => this.box.vertical(1, LINE), ArrowUp: () => this.box.vertical(-1, LINE),
      PageDown: () => this.box.vertical(1, page), PageUp: () => this.box.vertical(-1, page),
    };
    if (event.key === "Escape") this.choose([0, 0], at);
    else if (goals[event.key]) {
      const goal = Math.max(0, Math.min(n - 1, goals[event.key]()));
      this.select(goal, event.shiftKey);
      this.box.reveal(goal);
    } else return;
    event.preventDefault();
  }

  // -- searching -------------------------------------------------------------------------------------

  searching(event) {
    if (event.key === "Enter") this.next(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") this.box.el.focus({ preventScroll: true });
    else return;
    event.preventDefault();
  }

  put(query) {
    this.tell("query", query);
    this.next(1);
  }

  // Find and mark the places of the query; the next one comes into view.
  search() {
    const query = this.model.get("query") ?? "";
    if (this.field.value !== query) this.field.value = query;
    if (!this.data) return;
    this.wrong = "";
    try {
      this.hits = query ? this.finder.find(query) : [];
    } catch (error) {
      [this.hits, this.wrong] = [[], error.message];
    }
    this.box.found(this.hits);
    this.field.setAttribute("aria-invalid", String(this.wrong !== ""));
    this.tally();
    const next = this.hits.find(([start]) => start >= this.box.at) ?? this.hits[0];
    if (next) this.box.reveal(next[0], "third");
  }

  // How many places there are, and which of them is selected.
  tally() {
    const total = this.hits.length;
    const [from, to] = this.box.range;
    const k = this.hits.findIndex(([start, end]) => start === from && end === to);
    const words = k >= 0 ? `${count(k + 1)} of ${count(total)}` : `${count(total)} ${total === 1 ? "place" : "places"}`;
    this.places.textContent = this.wrong || (this.field.value ? words : "");
  }

  // Select the next (1) or previous (-1) place after what is selected, or after the present token.
  next(direction) {
    if (!this.hits.length) return;
    const [first, last] = this.box.range;
    const from = last > first ? first : this.box.at - (direction > 0 ? 1 : 0);
    const starts = Int32Array.from(this.hits, ([start]) => start);
    const behind = lastNotBehind(starts, from); // the last place that begins at or before `from`
    const k = direction > 0 ? behind + 1 : starts[behind] === from ? behind - 1 : behind;
    const place = (k + this.hits.length) % this.hits.length;
    const [start, end] = this.hits[place];
    this.anchor = start;
    this.select(end - 1, true);
    this.box.reveal(start, "third");
  }

  theme() {
    this.root.dataset.theme = document.body.dataset.jpThemeLight === "false" ? "dark" : "light";
  }
}

export default {
  render({ model, el }) {
    const strip = new TokenStrip(model, el);
    return () => strip.close();
  },
};
