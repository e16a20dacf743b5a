// The switches of a tokenizer: a text, a row a switch, types of single tokens. Python computes what they do.

const MODES = [["auto", "as llama-server does"], ["true", "always"], ["false", "never"]];
const FLAGS = [["true", "yes"], ["false", "no"]];
const REMOVED = "null";
const TYPING_MS = 150;

class Switches {
  constructor(model, el) {
    this.model = model;
    this.rows = {};
    this.root = h("div", { class: "wb wb-switches", "data-lm-suppress-shortcuts": "true" }, this.head(), this.source(), this.table(), this.typing(), this.status());
    this.root.addEventListener("keydown", (event) => event.ctrlKey || event.metaKey || event.altKey || event.stopPropagation());
    el.append(this.root);
    const receive = (message) => this.receive(message);
    model.on("msg:custom", receive);
    const unfollow = followTheme(this.root);
    const showCopies = keepCopiesHidden(this.root);
    this.close = () => {
      model.off("msg:custom", receive);
      unfollow();
      showCopies();
      clearTimeout(this.timer);
      clearTimeout(this.patience);
    };
    this.send("hello");
  }

  send(type, facts = {}) {
    this.model.send({ type, ...facts });
  }

  // -- what it is made of ----------------------------------------------------------------------------

  button(text, words, press) {
    return h("button", { class: "wb-button", text, title: words, "aria-label": words, onclick: press });
  }

  head() {
    this.about = h("span", { class: "wb-aside" });
    const reset = this.button("All as given", "undo every change", () => this.send("reset", { names: [] }));
    const freeze = this.button("Freeze", "replace this live view by a static copy of what it shows", () => this.send("freeze"));
    return h("header", { class: "wb-head" }, h("h3", { text: "Tokenizer switches" }), this.about, h("span", { class: "wb-gap" }), reset, freeze);
  }

  source() {
    this.reads = h("select", { "aria-label": "read as", onchange: () => this.given(0) }, h("option", { value: "text", text: "a text" }), h("option", { value: "request", text: "a request as JSON" }));
    this.text = h("textarea", { rows: 2, class: "wb-switch-text", spellcheck: "false", "aria-label": "what is tokenised" });
    this.text.addEventListener("input", () => this.given(TYPING_MS));
    return h("div", { class: "wb-switch-source" }, h("label", { class: "wb-by" }, "tokenise", this.reads), this.text);
  }

  table() {
    const head = ["", "before", "after", "how it reaches llama.cpp"].map((text) => h("th", { scope: "col", text }));
    this.body = h("tbody", {});
    return h("table", { class: "wb-switch-table" }, h("thead", {}, h("tr", {}, ...head)), this.body);
  }

  typing() {
    this.token = h("input", { type: "text", placeholder: "text in the file, or id:2", "aria-label": "token", spellcheck: "false" });
    this.kind = h("select", { "aria-label": "type" });
    this.give = this.button("Give it this type", "give the token another type", () => this.retype());
    this.token.addEventListener("keydown", (event) => event.key === "Enter" && this.retype());
    this.types = h("span", { class: "wb-switch-types" });
    this.copy = h("div", { class: "wb-quiet wb-switch-copy" });
    return h("div", {}, h("div", { class: "wb-switch-type" }, h("span", { text: "type of a token" }), this.token, this.kind, this.give, this.types), this.copy);
  }

  status() {
    this.doing = h("span", { class: "wb-doing" });
    this.bar = h("progress", { "aria-label": "progress" });
    this.busy = h("span", { class: "wb-busy" }, this.bar, this.doing, h("button", { class: "wb-button wb-cancel", text: "Cancel", onclick: () => this.send("cancel") }));
    this.busy.hidden = true;
    this.verdict = h("span", { class: "wb-switch-verdict", role: "status" });
    this.trouble = h("div", { class: "wb-remark wb-wrong wb-trouble", role: "alert" });
    this.trouble.hidden = true;
    return h("div", { class: "wb-status" }, h("div", { class: "wb-line" }, this.verdict, h("span", { class: "wb-gap" }), this.busy), this.trouble);
  }

  // -- what the user does ----------------------------------------------------------------------------

  // A text goes out after a short pause; a newer one replaces it.
  given(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send("given", { text: this.text.value, reads: this.reads.value }), wait);
  }

  retype() {
    if (this.token.value) this.send("retype", { token: this.token.value, kind: this.kind.value });
  }

  // "" is as given; anything else is the new value as JSON, or a text that Python judges.
  set(row, field) {
    const typed = field.value;
    if (typed === "") return this.send("reset", { names: [row.name] });
    const isNumber = row.kind === "id" && /^\d{1,15}$/.test(typed.trim());
    const value = field.tagName === "SELECT" ? { true: true, false: false, null: null }[typed] ?? (typed === REMOVED ? null : typed) : isNumber ? Number(typed) : typed;
    this.send("change", { changes: { [row.name]: value } });
  }

  // -- Python ----------------------------------------------------------------------------------------

  receive(message) {
    const handler = { begin: "onBegin", progress: "onProgress", end: "onEnd" }[message.type];
    if (handler) this[handler](message);
  }

  onBegin({ facts }) {
    this.root.dataset.busy = "true";
    this.show(facts);
    clearTimeout(this.patience);
    this.patience = setTimeout(() => (this.busy.hidden = false), 300);
  }

  onProgress({ operation, done, total }) {
    this.doing.textContent = operation;
    if (total > 0) this.bar.value = done / total;
    else this.bar.removeAttribute("value");
  }

  onEnd({ stamp, trouble, facts }) {
    clearTimeout(this.patience);
    this.busy.hidden = true;
    this.trouble.hidden = !trouble;
    this.trouble.textContent = visibleText(trouble);
    this.show(facts);
    this.root.dataset.busy = "false";
    this.root.dataset.done = stamp;
  }

  // Everything that Python holds. A field in which the user is typing keeps what is in it.
  show(facts) {
    this.about.textContent = visibleText(`${facts.model}, ${facts.vocabulary}`);
    this.keep(this.text, facts.given);
    this.text.rows = Math.max(2, Math.min(10, facts.given.split("\n").length));
    this.reads.value = facts.reads;
    if (!this.body.children.length) this.build(facts);
    for (const row of facts.rows) this.renew(row, facts);
    this.showTypes(facts);
    this.copy.textContent = facts.copy;
    const { effect } = facts;
    this.verdict.textContent = effect ? `${effect.verdict}: ${effect.harmless ? "the model reads and stops as before" : "not the same to the model"}` : "";
    this.verdict.classList.toggle("wb-switch-differs", Boolean(effect && !effect.harmless));
  }

  keep(field, value) {
    if (field !== document.activeElement && field.value !== value) field.value = value;
  }

  build({ rows, kinds, pre }) {
    this.names = `wb-pre-${Math.random().toString(36).slice(2, 8)}`;
    this.root.append(h("datalist", { id: this.names }, ...pre.map((value) => h("option", { value }))));
    this.kind.replaceChildren(...kinds.map((value) => h("option", { value, text: value.replace("_", "-") })));
    this.body.replaceChildren(...rows.map((row) => this.line(row)));
  }

  line(row) {
    const field = row.kind === "text" || row.kind === "id" ? this.input(row) : this.choice(row);
    field.addEventListener("change", () => this.set(row, field));
    const out = this.button("take out", `take ${row.words} out of the file's keys`, () => this.send("change", { changes: { [row.name]: null } }));
    const back = this.button("undo", `${row.words}: as given`, () => this.send("reset", { names: [row.name] }));
    const [before, piece, how] = [h("td", {}), h("span", { class: "wb-quiet wb-mono" }), h("td", { class: "wb-quiet" })];
    const el = h("tr", { "data-name": row.name }, h("th", { scope: "row", title: row.name.replace("metadata.", ""), text: row.words }), before, h("td", {}, h("span", { class: "wb-switch-cell" }, field, piece, out, back)), how);
    this.rows[row.name] = { el, field, out, back, before, piece, how };
    return el;
  }

  input(row) {
    const list = row.name.endsWith(".pre") ? this.names : null;
    return h("input", { type: "text", list, inputmode: row.kind === "id" ? "numeric" : null, "aria-label": row.words, spellcheck: "false", autocomplete: "off" });
  }

  choice(row) {
    const options = [["", "as given"], ...(row.kind === "mode" ? MODES : FLAGS), ...(row.removable && row.kind === "flag" ? [[REMOVED, "taken out"]] : [])];
    return h("select", { "aria-label": row.words }, ...options.map(([value, text]) => h("option", { value, text })));
  }

  renew(row, { changes, no_copy: noCopy }) {
    const { el, field, out, back, before, piece, how } = this.rows[row.name];
    const isChanged = row.name in changes;
    const value = changes[row.name];
    before.textContent = visibleText(row.before) + (row.pieces.before ? ` ${row.pieces.before}` : "");
    field.placeholder = value === null ? "taken out" : "as given";
    this.keep(field, isChanged ? (field.tagName === "INPUT" && value === null ? "" : String(value)) : "");
    piece.textContent = isChanged && row.pieces.now ? row.pieces.now : "";
    for (const control of [field, out, back]) control.disabled = row.idle !== "" && !isChanged;
    if (noCopy) [out.disabled, out.title] = [true, noCopy];
    back.hidden = !isChanged;
    out.hidden = field.tagName === "SELECT" || !row.removable || value === null;
    el.classList.toggle("wb-switch-changed", isChanged);
    how.textContent = row.idle || row.how;
  }

  showTypes({ types, no_copy: noCopy }) {
    const item = ([which, kind]) => h("span", { class: "wb-key wb-switch-retyped" }, `${visibleText(which)}: ${kind.replace("_", "-")} `, h("button", { class: "wb-link", text: "✕", "aria-label": `the file's own type of ${which}`, onclick: () => this.send("retype", { token: which, kind: null }) }));
    this.types.replaceChildren(...types.map(item));
    for (const control of [this.token, this.kind, this.give]) control.disabled = Boolean(noCopy);
    this.give.title = noCopy ? visibleText(noCopy) : "give the token another type";
  }
}

export default {
  render({ model, el }) {
    const switches = new Switches(model, el);
    return () => switches.close();
  },
};
