// The template's execution, event by event: its source on one side, the text so far on the other.

const TAGS = /\{\{|\{%-?\s*(?:if|for|set|call|filter)\b/;

class Stepper {
  constructor(model, el) {
    this.model = model;
    this.events = model.get("events");
    this.source = points(model.get("source"));
    this.text = points(model.get("text"));
    this.pieces = this.events.map(([, , , , start, end]) => [start, end]);
    this.root = h("div", { class: "wb wb-stepper", tabindex: 0, "data-lm-suppress-shortcuts": "true", "aria-label": "template, step by step" },
      this.head(), h("div", { class: "wb-step-row" }, this.code(), this.written()), this.note());
    this.root.addEventListener("keydown", (event) => this.key(event));
    el.append(this.root);
    this.theme();
    this.line = null;
    this.changed = () => this.show();
    model.on("change:position", this.changed);
    this.show();
  }

  head() {
    const button = (words, title, by) => h("button", { class: "wb-button", text: words, title, onclick: () => this.go(this.position + by) });
    this.slider = h("input", { type: "range", min: 0, max: this.events.length, step: 1, "aria-label": "event" });
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.now = h("span", { class: "wb-step-now", role: "status" });
    return h("header", { class: "wb-head" }, h("h3", { text: "Template, step by step" }), button("◀", "one event back (arrow left)", -1), this.slider, button("▶", "one event on (arrow right)", 1), this.now);
  }

  code() {
    const ran = new Set(this.events.map(([, line]) => line));
    this.lines = split(this.source).map((line, index) => {
      const shown = visible(line);
      const never = !ran.has(index + 1) && TAGS.test(shown);
      const row = h("div", { class: `wb-src${never ? " wb-never" : ""}`, title: never ? "nothing on this line ran" : `line ${index + 1}: click to see all that it wrote` },
        h("span", { class: "wb-src-no", text: String(index + 1) }), h("span", { class: "wb-src-text", text: shown || " " }));
      row.onclick = () => this.chooseLine(index + 1);
      return row;
    });
    return h("div", { class: "wb-step-box", "aria-label": "template" }, ...this.lines);
  }

  written() {
    this.stretches = [];
    const box = h("div", { class: "wb-step-box wb-step-text", "aria-label": "text so far" });
    this.pieces.forEach(([start, end], index) => {
      if (end <= start) return;
      const el = h("span", { class: "wb-stretch", text: visible(this.text, start, end), title: `line ${this.events[index][1]}` });
      el.onclick = () => this.go(index + 1);
      this.stretches.push([index, el]);
      box.append(el);
    });
    return box;
  }

  note() {
    this.said = h("div", { class: "wb-quiet wb-step-said", role: "status" });
    return this.said;
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
    const to = { ArrowRight: this.position + 1, ArrowLeft: this.position - 1, Home: 0, End: this.events.length }[event.key];
    event.stopPropagation();
    if (to === undefined || event.target === this.slider) return;
    event.preventDefault();
    this.go(to);
  }

  show() {
    const at = this.position;
    const event = this.events[at - 1];
    this.slider.value = at;
    this.now.textContent = event ? `${at} of ${this.events.length}: ${words(event)}` : `before the first of ${this.events.length} events`;
    this.lines.forEach((row, index) => {
      row.classList.toggle("wb-src-on", event !== undefined && event[1] === index + 1);
      row.classList.toggle("wb-src-chosen", this.line === index + 1);
    });
    for (const [index, el] of this.stretches) {
      el.hidden = index >= at && this.line === null;
      el.classList.toggle("wb-on", this.line === null ? index === at - 1 : this.events[index][1] === this.line);
    }
    this.said.textContent = this.line === null ? "" : this.wrote(this.line);
    const on = this.root.querySelector(".wb-src-on");
    if (on) keepInView(on);
    const last = this.root.querySelector(".wb-stretch.wb-on");
    if (last) keepInView(last);
  }

  wrote(line) {
    const own = this.events.filter((event) => event[1] === line);
    const size = own.reduce((sum, [, , , , start, end]) => sum + end - start, 0);
    if (!own.length) return `line ${line}: nothing on it ran`;
    return `line ${line}: ${own.length} events, ${size} characters in all`;
  }

  theme() {
    const light = document.body.dataset.jpThemeLight !== "false";
    this.root.dataset.theme = light ? "light" : "dark";
  }

  close() {
    this.model.off("change:position", this.changed);
  }
}

const KINDS = { output: "writes", text: "the template's own text,", if: "condition", loop: "loop", set: "sets", call: "calls", error: "fails" };

function words([kind, line, column, detail, start, end]) {
  const size = end > start ? ` ${end - start} characters` : "";
  return `${KINDS[kind] ?? kind}${detail ? ` ${visibleText(detail)}` : ""}${size}, line ${line} column ${column}`;
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
  const top = el.offsetTop - box.offsetTop;
  if (top < box.scrollTop || top > box.scrollTop + box.clientHeight - 24) box.scrollTop = top - box.clientHeight / 2;
}

export default {
  render({ model, el }) {
    const stepper = new Stepper(model, el);
    return () => stepper.close();
  },
};
