// The quantisation lab's page: columns with their controls and figures, the strips, what stands below. Python decides.

const HEAD = ["", "weights", "K cache", "V cache", "flash attention", "file, MiB", "KV, MiB", "mean KL, nats", "same first place", "flips (beyond noise)", "in calls, code", "answer", "scored in"];
const FIGURES = ["size", "cache", "kl", "same", "flips", "critical", "answer", "time"];
const PANELS = [
  ["kinds", "Kinds of text", "damage in tool calls, code and prose apart"],
  ["answers", "Answers", "what each column writes"],
  ["types", "Tensor types", "the tensor types really in each file, by count and bytes"],
  ["layers", "Layers", "where in the network the chosen column parts from the reference"],
  ["groups", "Tensor groups", "which tensors of the chosen column do the damage: one group put back at a time"],
  ["cache", "KV cache", "keys and values at lower precision, each alone, with flash attention and without"],
  ["quality", "Quality", "every column over a text, as llama-perplexity --kl-divergence measures it"],
];
const PATH = "file:";
const MOST_COLUMNS = 4;

// The class of a mean KL that is more than noise, of one that is not, of one that nobody held against the floor.
const verdict = (beyond) => (beyond === true ? "wb-wrong" : beyond === false ? "wb-vgood" : "");

class QuantisationLab {
  constructor(model, el) {
    this.send = (type, facts = {}) => model.send({ type, ...facts });
    this.values = null;
    this.figures = [];
    this.strips = new VariantStrips((token) => this.send("select", { token }));
    this.root = h("div", { class: "wb wb-quantisations", "data-lm-suppress-shortcuts": "true" }, this.head(), this.sources(), this.table(), this.status(), this.strips.el, this.selected(), this.under());
    this.root.addEventListener("keydown", (event) => !event.ctrlKey && !event.metaKey && event.stopPropagation());
    el.append(this.root);
    this.unfollow = followTheme(this.root, (theme) => this.send("theme", { theme }));
  }

  change(changes) {
    this.send("change", { changes });
  }

  // -- what it is made of ----------------------------------------------------------------------------

  head() {
    const freeze = h("button", { class: "wb-button", text: "Freeze for sharing", title: "replace this live view by a static copy of what it shows", onclick: () => this.send("freeze") });
    return h("header", { class: "wb-head" }, h("h3", { text: "Quantisations" }), h("span", { class: "wb-gap" }), freeze);
  }

  sources() {
    this.model = h("select", { "aria-label": "base file", onchange: () => (this.model.value ? this.change({ model: this.model.value }) : this.askPath()) });
    this.path = h("input", { type: "text", placeholder: "path to a .gguf file", "aria-label": "base file's path", spellcheck: "false" });
    this.path.addEventListener("change", () => this.change({ model: this.path.value }));
    this.path.hidden = true;
    this.request = h("select", { "aria-label": "request", onchange: () => this.change({ request: this.request.value }) });
    this.typed = h("textarea", { rows: 10, spellcheck: "false", autocomplete: "off", "aria-label": "request as JSON" });
    this.typed.addEventListener("change", () => this.change({ request_text: this.typed.value }));
    this.typed.hidden = true;
    this.edit = h("button", { class: "wb-link", text: "Edit request", "aria-expanded": "false", onclick: () => this.showEditor(this.typed.hidden) });
    const control = (words, ...content) => h("div", { class: "wb-control" }, h("span", { class: "wb-label", text: words }), ...content);
    return h("div", {}, h("div", { class: "wb-row" }, control("Base file", this.model, this.path), control("Request", this.request, this.edit)), this.typed);
  }

  askPath() {
    this.path.hidden = false;
    this.path.focus();
  }

  showEditor(open) {
    this.typed.hidden = !open;
    this.edit.setAttribute("aria-expanded", String(open));
  }

  table() {
    this.body = h("tbody");
    this.add = h("button", { class: "wb-link", text: "+ add a column", onclick: () => this.change({ columns: [...this.values.columns, { weights: "Q4_K_M" }] }) });
    const head = h("tr", {}, ...HEAD.map((text) => h("th", { scope: "col", text })));
    return h("div", { class: "wb-vtable" }, h("table", {}, h("thead", {}, head), this.body), this.add);
  }

  status() {
    this.bar = h("progress", { max: 1, value: 0, "aria-label": "progress" });
    this.doing = h("span", { class: "wb-doing", role: "status" });
    this.busy = h("span", { class: "wb-busy" }, this.bar, this.doing, h("button", { class: "wb-button wb-cancel", text: "Cancel", onclick: () => this.send("cancel") }));
    this.busy.hidden = true;
    this.make = h("button", { class: "wb-button wb-make", text: "Make the missing files", onclick: () => this.send("make") });
    this.make.hidden = true;
    this.trouble = h("div", { class: "wb-remark wb-wrong wb-trouble", role: "alert" });
    this.trouble.hidden = true;
    this.notes = h("div", { class: "wb-vnotes" });
    return h("div", { class: "wb-status" }, h("div", { class: "wb-line" }, this.make, h("span", { class: "wb-gap" }), this.busy), this.trouble, this.notes);
  }

  selected() {
    this.side = h("div", { class: "wb-vsides wb-inspector", "aria-live": "polite" }, h("span", { class: "wb-quiet", text: "click a token for the candidates of each side; arrow keys move, n and p go to the next and previous flip" }));
    return this.side;
  }

  under() {
    const button = ([panel, text, title]) => h("button", { class: "wb-button", "data-panel": panel, "aria-pressed": "false", text, title, onclick: () => this.choosePanel(panel) });
    this.chosen = h("select", { "aria-label": "column that layers and tensor groups are of", onchange: () => this.change({ chosen: Number(this.chosen.value) }) });
    this.text = h("input", { type: "text", placeholder: "held-out requests, or a file's path", "aria-label": "text to measure quality on", spellcheck: "false" });
    this.text.addEventListener("change", () => this.change({ text: this.text.value }));
    this.again = h("button", { class: "wb-button wb-again", text: "Measure, or go on", onclick: () => this.send("again") });
    this.measured = h("div", { class: "wb-row wb-vquality" }, h("span", { class: "wb-label", text: "Text" }), this.text, this.again);
    this.measured.hidden = true;
    this.stopped = h("div", { class: "wb-remark wb-note", role: "status" });
    this.stopped.hidden = true;
    this.panels = h("div", { class: "wb-row wb-under" }, h("span", { class: "wb-label", text: "Show below:" }), ...PANELS.map(button), h("span", { class: "wb-label", text: "of" }), this.chosen);
    return h("div", {}, this.panels, this.measured, this.stopped);
  }

  choosePanel(panel) {
    this.change({ panel: this.values.panel === panel ? "" : panel });
  }

  // -- the columns -----------------------------------------------------------------------------------

  rows() {
    const { columns } = this.values;
    this.body.replaceChildren(...columns.flatMap((column, k) => this.row(column, k)));
    this.add.hidden = columns.length >= MOST_COLUMNS;
  }

  row(column, k) {
    const facts = this.figures[k] ?? {};
    const cell = (...content) => h("td", {}, ...content);
    const pick = (name, options, words) => {
      const field = h("select", { "aria-label": `${words} of ${this.names[k]}`, "data-name": name, "data-row": k }, ...options.map(([value, text]) => h("option", { value, text: visibleText(text) })));
      field.value = column[name];
      field.addEventListener("change", () => this.put(k, { [name]: field.value }));
      return field;
    };
    const drop = k > 0 && this.values.columns.length > 2 && h("button", { class: "wb-link", text: "✕", title: "remove this column", "aria-label": `remove ${this.names[k]}`, onclick: () => this.change({ columns: this.values.columns.filter((_, i) => i !== k) }) });
    const main = h("tr", { "data-row": k },
      h("th", { scope: "row" }, k ? `${k} ` : "reference", drop), cell(...this.weights(column, k, facts)), cell(pick("type_k", this.options.type, "K cache")), cell(pick("type_v", this.options.type, "V cache")), cell(pick("flash", this.options.flash, "flash attention")),
      ...FIGURES.map((name) => h("td", { class: "wb-vfigure", "data-figure": name }, h("span", { class: name === "kl" ? verdict(facts.beyond) : "", text: facts[name] ?? "" }))));
    const trouble = facts.trouble && h("tr", {}, h("td", { colspan: HEAD.length }, h("div", { class: "wb-remark wb-wrong", text: visibleText(facts.trouble) })));
    return trouble ? [main, trouble] : [main];
  }

  // The list of weights, a field for a path beside it, and what is really in the file.
  weights(column, k, facts) {
    const known = this.options.weights.some(([value]) => value === column.weights);
    const list = [...this.options.weights, ...(known ? [] : [[column.weights, column.weights.split("/").pop()]]), [PATH, "another file…"]];
    const field = h("select", { "aria-label": `weights of ${this.names[k]}`, "data-name": "weights", "data-row": k }, ...list.map(([value, text]) => h("option", { value, text: visibleText(text) })));
    field.value = column.weights;
    const path = h("input", { type: "text", placeholder: "path to a .gguf file", "aria-label": `path of ${this.names[k]}`, spellcheck: "false" });
    path.hidden = true;
    path.addEventListener("change", () => path.value && this.put(k, { weights: PATH + path.value }));
    field.addEventListener("change", () => {
      path.hidden = field.value !== PATH;
      if (path.hidden) this.put(k, { weights: field.value });
      else path.focus();
    });
    const real = facts.types && h("div", { class: `wb-vtypes${facts.lies ? " wb-note" : ""}`, title: facts.lies ? "the name lies: these tensor types are really in it" : "the tensor types really in it", text: facts.types });
    return [field, path, real];
  }

  put(k, change) {
    this.change({ columns: this.values.columns.map((column, i) => (i === k ? { ...column, ...change } : column)) });
  }

  // -- messages from Python --------------------------------------------------------------------------

  receive(message, buffers) {
    const handler = { controls: "onControls", begin: "onBegin", rows: "onRows", strips: "onStrips", selected: "onSelected", progress: "onProgress", stopped: "onStopped", end: "onEnd" }[message.type];
    if (handler) this[handler](message, buffers);
  }

  onControls({ values, names, options }) {
    [this.values, this.names, this.options] = [values, names, options];
    const fill = (field, items, value) => {
      field.replaceChildren(...items.map(([key, text]) => h("option", { value: key, text: visibleText(text) })));
      field.value = value;
    };
    const listed = options.model.some(([path]) => path === values.model) ? [] : [[values.model, values.model.split("/").pop()]];
    fill(this.model, [...listed, ...options.model, ["", "another file…"]], values.model);
    fill(this.request, options.request, values.request);
    fill(this.chosen, names.map((name, k) => [String(k), name]).slice(1), String(values.chosen));
    if (this.typed !== document.activeElement) this.typed.value = values.request_text;
    if (this.text !== document.activeElement) this.text.value = values.text;
    this.path.hidden = true;
    for (const button of this.panels.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.panel === values.panel));
    this.measured.hidden = values.panel !== "quality";
    this.rows();
  }

  onBegin({ stamp }) {
    this.stamp = stamp;
    this.root.dataset.busy = "true";
    this.stopped.hidden = this.trouble.hidden = true;
    clearTimeout(this.patience);
    this.patience = setTimeout(() => (this.busy.hidden = false), 400);
    this.doing.textContent = "";
    this.bar.removeAttribute("value");
  }

  onRows({ rows, notes, make }) {
    this.figures = rows;
    this.make.hidden = !make;
    this.notes.replaceChildren(...notes.map(([text, kind]) => h("div", { class: `wb-remark wb-${kind}`, text: visibleText(text) })));
    if (this.values) this.rows();
  }

  onStrips(message, buffers) {
    this.strips.show(decode(message, buffers));
    this.root.dataset.ready = "1";
  }

  onSelected({ token, sides, facts }) {
    if (token !== null && token !== this.strips.at) this.strips.mark(token);
    if (!sides.length) return;
    const bar = (p, here) => h("span", { class: `wb-vbar${here ? " wb-vhere" : ""}`, style: `width:${Math.max(2, Math.round(90 * p))}px` });
    const row = ([rank, piece, p, here]) => h("tr", {}, h("td", { text: rank }), h("td", {}, bar(p, here), percent(p)), h("td", { class: "wb-mono", text: piece }), h("td", { class: "wb-quiet", title: here ? "this token stands here" : "", text: here ? "◀ here" : "" }));
    const mine = h("span", {}, ...facts.slice(0, 1).map((kind) => h("span", { class: `wb-key wb-vkind-${kind.replace(" ", "-")}`, text: kind })), ` ${facts.slice(1).join(" · ")}`);
    const side = ({ name, words, rows }) => h("div", { class: "wb-vside" }, h("b", { text: visibleText(name) }), h("div", { class: "wb-quiet", text: words }), h("table", {}, ...rows.map(row)));
    this.side.replaceChildren(h("div", { class: "wb-vsaid" }, mine), ...sides.map(side));
  }

  onProgress({ operation, done, total }) {
    this.doing.textContent = `${operation} ${total > 1 ? `${count(done)} of ${count(total)}` : ""}`;
    if (total > 0) this.bar.value = done / total;
    else this.bar.removeAttribute("value");
  }

  onStopped({ text }) {
    this.stopped.hidden = false;
    this.stopped.textContent = visibleText(text);
  }

  onEnd({ stamp, trouble }) {
    if (stamp < this.stamp) return;
    clearTimeout(this.patience);
    this.busy.hidden = true;
    this.root.dataset.busy = "false";
    this.root.dataset.done = String(Number(this.root.dataset.done ?? 0) + 1);
    this.trouble.hidden = !trouble;
    this.trouble.textContent = visibleText(trouble);
  }

  close() {
    this.unfollow();
    this.strips.close();
  }
}

function render({ model, el }) {
  const lab = new QuantisationLab(model, el);
  const receive = (message, buffers) => lab.receive(message, buffers);
  model.on("msg:custom", receive);
  model.send({ type: "hello" });
  const showCopies = keepCopiesHidden(lab.root);
  el.dataset.ready = "1";
  return () => {
    showCopies();
    model.off("msg:custom", receive);
    lab.close();
  };
}

export default { render };
