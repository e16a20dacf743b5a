// The controls: model, request, template, switches, sampling. They hold what the user typed; Python decides what it means.

const SAMPLING = [
  ["temperature", "temperature", 0, 0.1], ["top_k", "top-k", 0, 1], ["top_p", "top-p", 0, 0.05], ["min_p", "min-p", 0, 0.01],
  ["repeat_penalty", "repeat penalty", 0, 0.05], ["max_tokens", "max tokens", 0, 1], ["seed", "seed", 0, 1],
];
const WAIT_MS = 20;

class Controls {
  // `change(part, edit)` gets what the user changed, as {name: value}, and [this page, the edit's number]: Python tells the
  // last one that it heard of, so that no older answer undoes a newer edit.
  constructor(change) {
    this.change = change;
    this.page = Math.random().toString(36).slice(2);
    this.edits = 0;
    this.unheard = {};
    this.fields = {};
    this.errors = {};
    this.timers = {};
    this.sentAt = {};
    this.listed = {};
    this.code = {};
    this.el = h("div", { class: "wb-controls" }, this.sources(), this.editors(), this.switches());
  }

  sources() {
    const modelPath = this.input("model_path", "path to a .gguf file", "model's path");
    const templatePath = this.input("template_path", "path to a .jinja file", "template's path");
    return h("div", { class: "wb-row" },
      this.labelled("Model", this.select("model", "model"), modelPath, this.error("model")),
      this.labelled("Request", this.select("request", "request"), this.fold("request_text", "Edit request")),
      this.labelled("Template", this.select("template", "template"), templatePath, this.fold("template_text", "Edit template")),
      this.labelled("Engine", this.select("engine", "template engine")),
      this.labelled("Up to", this.select("until", "run up to")));
  }

  editors() {
    return h("div", { class: "wb-editors" },
      this.editor("request_text", "Request as JSON", "request", colourJson), this.editor("template_text", "Chat template", "template", colourJinja));
  }

  switches() {
    const numbers = SAMPLING.map(([name, words, min, step]) => this.labelled(words, this.number(name, words, min, step)));
    return h("div", { class: "wb-row wb-small" },
      this.labelled("BOS and EOS", this.select("add_special", "add BOS and EOS")),
      h("label", { class: "wb-switch" }, this.check("parse_special"), h("span", { text: "special tokens in the text count" })),
      h("span", { class: "wb-gap" }), ...numbers, this.error("settings"));
  }

  labelled(words, ...content) {
    return h("div", { class: "wb-control" }, h("span", { class: "wb-label", text: words }), ...content);
  }

  keep(name, field, event, read) {
    this.fields[name] = field;
    field.addEventListener(event, () => this.edited(name, read(field)));
    field.addEventListener("keydown", (e) => e.stopPropagation()); // typing is not for JupyterLab's shortcuts
    return field;
  }

  // An edit goes out at once, before the page is drawn; one that follows soon waits, and a newer one takes its place.
  edited(name, value) {
    clearTimeout(this.timers[name]);
    this.unheard[name] = Infinity;
    const wait = (this.sentAt[name] ?? -WAIT_MS) + WAIT_MS - performance.now();
    const send = () => {
      this.sentAt[name] = performance.now();
      this.unheard[name] = ++this.edits;
      this.change({ [name]: value }, [this.page, this.edits]);
    };
    if (wait <= 0) send();
    else this.timers[name] = setTimeout(send, wait);
  }

  select(name, words) {
    return this.keep(name, h("select", { "aria-label": words, "data-name": name }), "change", (f) => f.value);
  }

  input(name, placeholder, words) {
    return this.keep(name, h("input", { type: "text", placeholder, "aria-label": words, spellcheck: "false", "data-name": name }), "change", (f) => f.value);
  }

  number(name, words, min, step) {
    return this.keep(name, h("input", { type: "number", min, step: "any", "aria-label": words, "data-name": name, "data-step": step }), "input", (f) => f.value);
  }

  check(name) {
    return this.keep(name, h("input", { type: "checkbox", "data-name": name }), "change", (f) => f.checked);
  }

  fold(name, words) {
    const button = h("button", { class: "wb-link", text: words, "aria-expanded": "false", "data-edit": name });
    button.onclick = () => this.open(name, this.fields[name].closest(".wb-editor").hidden);
    return button;
  }

  open(name, isOpen) {
    this.fields[name].closest(".wb-editor").hidden = !isOpen;
    if (isOpen) Object.values(this.code).forEach((code) => code.draw());
    const button = this.el.querySelector(`[data-edit="${name}"]`);
    button.setAttribute("aria-expanded", String(isOpen));
  }

  editor(name, words, error, colour) {
    const field = this.keep(name, h("textarea", { rows: 14, spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": words, "data-name": name }), "input", (f) => f.value);
    this.code[error] = new CodeEditor(field, colour);
    const box = h("div", { class: "wb-editor" }, h("div", { class: "wb-label", text: words }), this.code[error].el, this.error(error));
    box.hidden = true;
    return box;
  }

  error(name) {
    this.errors[name] = h("div", { class: "wb-remark wb-wrong wb-error", role: "alert", "data-error": name });
    this.errors[name].hidden = true;
    return this.errors[name];
  }

  // Errors by place, with line and column where they are known; what is not named is fine.
  showErrors(errors, places) {
    for (const [name, code] of Object.entries(this.code)) code.mark(places?.[name] ?? null);
    for (const [name, el] of Object.entries(this.errors)) {
      el.hidden = !errors[name];
      el.textContent = errors[name] ? visibleText(errors[name]) : "";
    }
    if (errors.request) this.open("request_text", true);
  }

  // What Python holds. A field keeps what is in it while the user is typing there, or while Python has not heard of it yet.
  show({ options, values, placeholders, heard }) {
    for (const [name, text] of Object.entries(placeholders)) if (this.fields[name]) this.fields[name].placeholder = text;
    for (const [name, items] of Object.entries(options)) {
      const listed = JSON.stringify(items);
      if (this.listed[name] === listed) continue; // an open list stays open
      this.listed[name] = listed;
      this.fields[name].replaceChildren(...items.map(([value, words]) => h("option", { value, text: visibleText(words) })));
    }
    for (const [name, value] of Object.entries(values)) {
      const field = this.fields[name];
      if (this.unheard[name] > (heard?.[this.page] ?? 0)) continue;
      delete this.unheard[name];
      if (!field || (field === document.activeElement && field.tagName !== "SELECT")) continue;
      if (field.type === "checkbox") field.checked = value;
      else if (field.value !== String(value ?? "")) field.value = value ?? "";
    }
    for (const code of Object.values(this.code)) code.draw();
    this.fields.model_path.hidden = values.model !== "";
    this.fields.template_path.hidden = values.template !== "file";
  }
}
