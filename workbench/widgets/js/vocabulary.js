// The vocabulary browser: a search, a filter, the tokens found, and one of them explained. Python searches, this shows.

const NO_TOKEN = -1;

class VocabularyBrowser {
  constructor(model, el) {
    this.model = model;
    this.stamp = 0;
    this.list = new RowList("tokens", {
      ask: (start, end) => this.model.send({ type: "rows", stamp: this.stamp, start, end }),
      fill: (row) => this.cells(row),
      pick: ([id]) => this.tell("selection", id),
    });
    this.root = h("div", { class: "wb wb-vocab", "data-lm-suppress-shortcuts": "true" }, this.head(), this.status(), this.body());
    this.root.addEventListener("keydown", (event) => this.heard(event));
    el.append(this.root);
    this.listen();
  }

  // -- what it is made of ----------------------------------------------------------------------------

  head() {
    const button = (text, words, press) => h("button", { class: "wb-button", text, title: words, "aria-label": words, onclick: press });
    this.about = h("span", { class: "wb-aside" });
    this.field = h("input", { type: "text", class: "wb-query", placeholder: "text, id:1, bytes:e2 80, type:control", "aria-label": "search the vocabulary", spellcheck: "false", autocomplete: "off" });
    this.field.addEventListener("input", () => this.typed());
    this.group = h("select", { "aria-label": "show only", onchange: () => this.tell("group", this.group.value) });
    this.places = h("span", { class: "wb-places", role: "status" });
    const freeze = button("Freeze", "replace this live view by a static copy of what it shows", () => this.model.send({ type: "freeze" }));
    return h("header", { class: "wb-head" }, h("h3", { text: "Vocabulary" }), this.about, this.field, h("label", { class: "wb-by" }, "show", this.group), this.places, h("span", { class: "wb-gap" }), freeze);
  }

  status() {
    this.doing = h("span", { class: "wb-doing", text: "reading the vocabulary" });
    this.bar = h("progress", { "aria-label": "progress" });
    this.busy = h("div", { class: "wb-busy wb-vocab-busy" }, this.bar, this.doing, h("button", { class: "wb-button wb-cancel", text: "Cancel", onclick: () => this.model.send({ type: "cancel" }) }));
    this.said = h("span", {});
    this.trouble = h("div", { class: "wb-remark wb-wrong wb-trouble", role: "alert" }, this.said, " ", h("button", { class: "wb-button", text: "Read again", onclick: () => this.again() }));
    this.trouble.hidden = true;
    return h("div", {}, this.busy, this.trouble);
  }

  body() {
    const names = ["id", "piece", "bytes", "type", ""].map((text) => h("span", { text }));
    const left = h("div", { class: "wb-vocab-left" }, h("div", { class: "wb-vocab-row wb-vocab-names", "aria-hidden": "true" }, ...names), this.list.el);
    this.info = h("div", { class: "wb-vocab-info", role: "region", "aria-label": "the selected token", tabindex: 0 });
    this.content = h("div", { class: "wb-vocab-body" }, left, this.info);
    this.content.hidden = true;
    return this.content;
  }

  cells([id, piece, bytes, type, remark]) {
    return [h("span", { text: id }), h("span", {}, this.piece(piece, type)), h("span", { class: "wb-quiet", text: bytes }), h("span", { text: type.replace("_", "-") }), h("span", { class: "wb-quiet", text: remark })];
  }

  piece(text, type) {
    return h("span", { class: `wb-vocab-piece wb-vk-${type}`, text });
  }

  // -- Python ----------------------------------------------------------------------------------------

  listen() {
    const handlers = {
      "msg:custom": (message) => this.receive(message),
      "change:query": () => this.field.value !== this.model.get("query") && (this.field.value = this.model.get("query")),
      "change:group": () => (this.group.value = this.model.get("group")),
    };
    for (const [name, handler] of Object.entries(handlers)) this.model.on(name, handler);
    const unfollow = followTheme(this.root);
    const showCopies = keepCopiesHidden(this.root);
    this.close = () => {
      for (const [name, handler] of Object.entries(handlers)) this.model.off(name, handler);
      unfollow();
      showCopies();
      clearTimeout(this.timer);
      this.list.close();
    };
    this.model.send({ type: "hello" });
  }

  tell(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
  }

  receive(message) {
    const handler = { waiting: "onWaiting", progress: "onProgress", trouble: "onTrouble", vocabulary: "onVocabulary", found: "onFound", rows: "onRows", entry: "onEntry" }[message.type];
    if (handler) this[handler](message);
  }

  onWaiting() {
    [this.busy.hidden, this.trouble.hidden] = [false, true];
  }

  onProgress({ operation, done, total }) {
    this.onWaiting();
    this.doing.textContent = operation;
    this.bar.value = (done + 0.5) / total;
  }

  onTrouble({ text }) {
    this.said.textContent = visibleText(text);
    [this.busy.hidden, this.trouble.hidden] = [true, false];
  }

  again() {
    this.onWaiting();
    this.model.send({ type: "again" });
  }

  onVocabulary({ name, about, groups }) {
    [this.busy.hidden, this.trouble.hidden, this.content.hidden] = [true, true, false];
    this.about.textContent = visibleText(`${name}: ${about}`);
    this.group.replaceChildren(...groups.map(([value, n]) => h("option", { value, text: `${value.replace("_", "-")} (${count(n)})` })));
    this.group.value = this.model.get("group");
    this.field.value = this.model.get("query");
    this.root.dataset.ready = "1";
  }

  onFound({ stamp, n, wrong }) {
    this.stamp = stamp;
    this.list.reset(n);
    this.field.setAttribute("aria-invalid", String(wrong !== ""));
    this.places.textContent = wrong ? visibleText(wrong) : `${count(n)} ${n === 1 ? "token" : "tokens"}`;
    this.root.dataset.found = stamp;
  }

  onRows({ stamp, start, rows }) {
    if (stamp !== this.stamp) return; // of an older search
    this.list.put(start, rows);
    const wanted = this.list.wanted;
    if (wanted === undefined || !this.list.row(wanted)) return;
    this.list.wanted = undefined;
    if (wanted === this.list.at) this.tell("selection", this.list.row(wanted)[0]);
  }

  // -- the selected token ----------------------------------------------------------------------------

  onEntry(entry) {
    if (this.list.at !== entry.at && this.list.wanted === undefined) this.list.mark(entry.at, true);
    this.root.dataset.entry = entry.id;
    if (entry.id === NO_TOKEN) return this.info.replaceChildren(h("span", { class: "wb-quiet", text: "click a token, or choose one with the arrow keys" }));
    const facts = entry.facts.map(([name, words]) => h("div", { class: "wb-vocab-fact" }, h("b", { text: name }), h("span", { text: visibleText(words) })));
    this.info.replaceChildren(h("div", { class: "wb-vocab-title" }, this.piece(entry.piece, entry.kind)), ...facts, ...this.alike(entry), ...this.merges(entry));
  }

  // A token's id as a button that goes there; its number alone where it is no token.
  link(id, words) {
    if (id === NO_TOKEN) return words;
    return h("button", { class: "wb-link", text: words, title: `go to id ${id}`, onclick: () => this.tell("selection", id) });
  }

  alike({ alike }) {
    return alike.map(([id, words]) => h("div", { class: "wb-remark wb-note" }, visibleText(words), id === NO_TOKEN ? null : " ", id === NO_TOKEN ? null : this.link(id, `id ${id}`)));
  }

  merges({ merges, n_merges: total, note }) {
    const parts = note ? [h("div", { class: "wb-remark wb-plain", text: note })] : [];
    if (!total) return parts;
    const rows = merges.map(([rank, left, right, id]) => h("li", {}, h("code", { text: `${visibleText(left)} + ${visibleText(right)}` }), " → ", this.link(id, id === NO_TOKEN ? "no token" : `id ${id}`), h("span", { class: "wb-quiet", text: ` rank ${rank}` })));
    const left = total > merges.length ? [h("div", { class: "wb-quiet", text: `… ${count(total - merges.length)} more merges` })] : [];
    return [h("div", { class: "wb-label", text: "merges that lead to it" }), h("ol", { class: "wb-vocab-merges" }, ...rows), ...left, ...parts];
  }

  // -- keys ------------------------------------------------------------------------------------------

  // A query goes out after a short pause; a newer one replaces it.
  typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.tell("query", this.field.value), 60);
  }

  heard(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.stopPropagation(); // JupyterLab moves, cuts and runs cells with plain keys
    const inField = event.target === this.field;
    if (inField && ["Enter", "Escape", "ArrowDown"].includes(event.key)) this.list.el.focus({ preventScroll: true });
    else if (!inField && event.key === "/") this.field.select();
    else if (!inField && event.key === "Escape") this.tell("selection", NO_TOKEN);
    else return;
    event.preventDefault();
  }
}

export default {
  render({ model, el }) {
    const browser = new VocabularyBrowser(model, el);
    return () => browser.close();
  },
};
