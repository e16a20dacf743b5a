// The template's execution, step by step: its source, the text so far, the steps around this one, the variables in scope.

// A step: kind, line, column, what it did, and how long the text is once it is done. A piece: start, end, step, line.
const KINDS = { more: "and", output: "writes", text: "the template's own text", if: "condition", loop: "loop", set: "sets", call: "calls", error: "fails" };
const AROUND = 40; // steps shown on either side of this one

class Stepper {
  constructor(model, el) {
    this.model = model;
    this.events = model.get("events");
    this.pieces = model.get("pieces");
    this.wroteBy = new Map(); // step -> how many characters
    for (const [start, end, step] of this.pieces) this.wroteBy.set(step, (this.wroteBy.get(step) ?? 0) + end - start);
    this.variables = model.get("variables");
    this.source = points(model.get("source"));
    this.text = points(model.get("text"));
    this.line = null;
    this.before = new Map(); // by the variable's name, which may be __proto__
    this.root = h("div", { class: "wb wb-stepper", tabindex: 0, "data-lm-suppress-shortcuts": "true", "aria-label": "template, step by step" },
      this.head(),
      h("div", { class: "wb-step-row" }, this.boxed("Template", this.code()), this.boxed("Text so far", this.written())),
      this.note(),
      h("div", { class: "wb-step-row" }, this.boxed("Steps", this.list()), this.boxed("Variables in scope", this.scope())));
    this.root.addEventListener("keydown", (event) => this.key(event));
    el.append(this.root);
    this.unfollow = followTheme(this.root);
    this.showCopies = keepCopiesHidden(this.root);
    this.changed = () => this.show();
    model.on("change:position", this.changed);
    this.show();
  }

  head() {
    const button = (words, title, by) => h("button", { class: "wb-button", text: words, title, "aria-label": title, onclick: () => this.go(this.position + by) });
    this.slider = h("input", { type: "range", min: 0, max: this.events.length, step: 1, "aria-label": "step" });
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.now = h("span", { class: "wb-step-now", role: "status" });
    return h("header", { class: "wb-head" }, h("h3", { text: "Template, step by step" }), button("◀", "one step back (arrow left)", -1), this.slider, button("▶", "one step on (arrow right)", 1), this.now);
  }

  boxed(title, box) {
    return h("section", { class: "wb-step-part" }, h("div", { class: "wb-label", text: title }), box);
  }

  code() {
    const never = new Set(this.model.get("never"));
    this.lines = split(this.source).map((line, index) => {
      const dead = never.has(index + 1);
      const row = h("div", { class: `wb-src${dead ? " wb-never" : ""}`, title: dead ? "nothing on this line ran" : `line ${index + 1}: click to see all that it wrote` },
        h("span", { class: "wb-src-no", text: String(index + 1) }), h("span", { class: "wb-src-text", text: visible(line) || " " }));
      row.onclick = () => this.chooseLine(index + 1);
      return row;
    });
    return h("div", { class: "wb-step-box", "aria-label": "template" }, ...this.lines);
  }

  written() {
    this.stretches = [];
    const box = h("div", { class: "wb-step-box wb-step-text", "aria-label": "text so far" });
    this.pieces.forEach(([start, end, step, line], index) => {
      const el = h("span", { class: "wb-stretch", text: visible(this.text, start, end), title: `line ${line}` });
      el.onclick = () => this.go(step + 1);
      this.stretches.push([index, el]);
      box.append(el);
    });
    return box;
  }

  note() {
    this.said = h("div", { class: "wb-quiet wb-step-said", role: "status" });
    return this.said;
  }

  list() {
    this.listed = h("div", { class: "wb-step-box wb-step-list", "aria-label": "steps around this one" });
    return this.listed;
  }

  scope() {
    this.scoped = h("div", { class: "wb-step-box wb-step-scope", "aria-label": "variables in scope" });
    return this.scoped;
  }

  get position() {
    return this.model.get("position");
  }

  go(position) {
    this.line = null;
    this.model.set("position", Math.max(0, Math.min(this.events.length, position)));
    this.model.save_changes();
    this.show();
  }

  chooseLine(line) {
    this.line = this.line === line ? null : line;
    this.show();
  }

  key(event) {
    const to = { ArrowRight: this.position + 1, ArrowLeft: this.position - 1, Home: 0, End: this.events.length, PageDown: this.position + 10, PageUp: this.position - 10 }[event.key];
    event.stopPropagation();
    if (to === undefined || event.target === this.slider) return;
    event.preventDefault();
    this.go(to);
  }

  show() {
    const at = this.position;
    const event = this.events[at - 1];
    this.slider.value = at;
    this.now.textContent = event ? `${at} of ${this.events.length}: ${this.words(at - 1)}` : `before the first of ${this.events.length} steps`;
    this.showSource(event);
    this.showText(at);
    this.showList(at);
    this.showScope(at);
    this.said.textContent = this.line === null ? "" : this.wrote(this.line);
  }

  showSource(event) {
    const on = event ? this.lines[event[1] - 1] : undefined;
    const chosen = this.line === null ? undefined : this.lines[this.line - 1];
    if (this.on !== on) this.on?.classList.remove("wb-src-on");
    if (this.chosen !== chosen) this.chosen?.classList.remove("wb-src-chosen");
    [this.on, this.chosen] = [on, chosen];
    on?.classList.add("wb-src-on");
    chosen?.classList.add("wb-src-chosen");
    if (on) keepInView(on);
  }

  showText(at) {
    let last = null;
    const length = at > 0 ? this.events[at - 1][4] : 0;
    for (const [index, el] of this.stretches) {
      const [start, , step, line] = this.pieces[index];
      const isHidden = start >= length && this.line === null;
      const isOn = this.line === null ? step === at - 1 : line === this.line;
      if (el.hidden !== isHidden) el.hidden = isHidden;
      if (el.classList.contains("wb-on") !== isOn) el.classList.toggle("wb-on", isOn);
      if ((isOn && !isHidden) || (!isHidden && this.line === null)) last = el;
    }
    if (last) keepInView(last);
  }

  showList(at) {
    const from = Math.max(0, at - AROUND);
    const to = Math.min(this.events.length, at + AROUND);
    const rows = [];
    if (from > 0) rows.push(h("div", { class: "wb-quiet", text: `… ${count(from)} steps before` }));
    for (let index = from; index < to; index++) {
      const row = h("div", { class: `wb-step${index === at - 1 ? " wb-step-on" : ""}`, text: `${index + 1}  ${this.words(index)}` });
      row.onclick = () => this.go(index + 1);
      rows.push(row);
    }
    if (to < this.events.length) rows.push(h("div", { class: "wb-quiet", text: `… ${count(this.events.length - to)} steps behind` }));
    this.listed.replaceChildren(...rows);
    const on = this.listed.querySelector(".wb-step-on");
    if (on) keepInView(on);
  }

  showScope(at) {
    const now = new Map();
    for (const [name, value, start, end] of this.variables) if (start <= at && at < end) now.set(name, value);
    const rows = [...now].map(([name, value]) =>
      h("div", { class: `wb-var${this.before.has(name) && this.before.get(name) !== value ? " wb-var-new" : ""}` },
        h("span", { class: "wb-var-name", text: visibleText(name) }), h("span", { class: "wb-var-value", text: visibleText(value) })));
    this.before = now;
    this.scoped.replaceChildren(...(rows.length ? rows : [h("div", { class: "wb-quiet", text: "none" })]));
  }

  wrote(line) {
    const own = this.pieces.filter((piece) => piece[3] === line);
    const size = own.reduce((sum, [start, end]) => sum + end - start, 0);
    const steps = new Set([...own.map((piece) => piece[2]), ...this.events.map((event, n) => (event[1] === line ? n : -1))].filter((n) => n >= 0));
    if (!steps.size) return `line ${line}: nothing on it ran`;
    return `line ${line}: ${count(steps.size)} steps, ${count(size)} characters in all`;
  }

  words(index) {
    const [kind, line, column, detail] = this.events[index];
    const size = this.wroteBy.get(index);
    return `${KINDS[kind] ?? kind}${detail ? ` ${visibleText(detail)}` : ""}${size ? `, ${count(size)} characters` : ""}${line ? `, line ${line} column ${column}` : ""}`;
  }

  close() {
    this.unfollow();
    this.showCopies();
    this.model.off("change:position", this.changed);
  }
}

function points(view) {
  return new Uint32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function split(codes) {
  const lines = [];
  let start = 0;
  codes.forEach((code, index) => {
    if (code !== 10) return;
    lines.push(codes.subarray(start, index));
    start = index + 1;
  });
  lines.push(codes.subarray(start));
  return lines;
}

function keepInView(el) {
  const box = el.closest(".wb-step-box");
  const top = el.offsetTop; // from the top of the box: it is positioned
  if (top < box.scrollTop || top > box.scrollTop + box.clientHeight - 24) box.scrollTop = top - box.clientHeight / 2;
}

export default {
  render({ model, el }) {
    const stepper = new Stepper(model, el);
    return () => stepper.close();
  },
};
