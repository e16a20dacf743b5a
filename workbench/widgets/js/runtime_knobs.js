// The runtime's controls: a row for each setting with a field for A, one for B, and what changing it costs.

const SIDES = ["a", "b"];
const NUMBERS = ["whole", "real"];

class KnobTable {
  // `change(side, changes)` gets what the user changed, as {name: value}.
  constructor(change) {
    this.change = change;
    this.rows = {};
    this.layers = { a: 0, b: 0 };
    this.el = h("div", { class: "wb-knobs" });
  }

  // The controls as Python lists them; `models` are [path, words] pairs.
  build(groups, models) {
    if (Object.keys(this.rows).length) return; // another view of the same widget asked
    this.models = models;
    this.el.replaceChildren(...groups.map((group, i) => this.group(group, i < 3)));
  }

  group({ title, knobs }, isOpen) {
    const head = h("div", { class: "wb-knob-row wb-knob-head", role: "row" }, ...["", "A", "B", "costs"].map((text) => h("span", { role: "columnheader", text })));
    return h("details", { class: "wb-knob-group", open: isOpen }, h("summary", { text: title }),
      h("div", { role: "table", "aria-label": title }, head, ...knobs.map((knob) => this.row(knob))));
  }

  row(knob) {
    const fields = Object.fromEntries(SIDES.map((side) => [side, this.field(knob, side)]));
    const wrong = h("div", { class: "wb-remark wb-wrong wb-knob-wrong", role: "alert" });
    wrong.hidden = true;
    const cells = SIDES.map((side) => h("span", { class: "wb-knob-cell", role: "cell" }, fields[side].el));
    const cost = h("span", { class: "wb-knob-cost", role: "cell" });
    const el = h("div", { class: "wb-knob-row", role: "row", "data-knob": knob.name },
      h("span", { class: "wb-knob-name", role: "rowheader", title: knob.key, text: knob.words }), ...cells, cost, wrong);
    this.rows[knob.name] = { el, fields, cost, wrong };
    return el;
  }

  field(knob, side) {
    const label = `${knob.words}, ${side.toUpperCase()}`;
    const send = (value) => this.change(side, { [knob.name]: value });
    const field = knob.kind === "switch" ? switchField(knob, label, send)
      : knob.kind === "layers" ? layersField(label, send)
      : knob.kind === "model" ? modelField(label, this.models, send)
      : knob.kind === "choice" ? choiceField(knob, label, send)
      : textField(knob, label, send);
    field.el.dataset.side = side;
    field.el.addEventListener("keydown", (event) => event.stopPropagation()); // typing is not for JupyterLab's shortcuts
    return field;
  }

  // What Python holds: values, errors and the number of layers of both sides.
  show(sides) {
    for (const [name, { el, fields, cost, wrong }] of Object.entries(this.rows)) {
      for (const side of SIDES) fields[side].show(sides[side].values[name], sides[side]);
      el.classList.toggle("wb-differs", String(sides.a.values[name]) !== String(sides.b.values[name]));
      const [a, b] = SIDES.map((side) => sides[side].costs[name]);
      cost.textContent = a === b ? a : `A ${a}, B ${b}`;
      const errors = SIDES.filter((side) => sides[side].errors[name]).map((side) => `${side.toUpperCase()}: ${visibleText(sides[side].errors[name])}`);
      wrong.hidden = !errors.length;
      wrong.textContent = errors.join("\n");
      if (errors.length) el.closest("details").open = true;
    }
  }
}

// A field is {el, show(value, side)}; one in which the user is typing keeps what is in it.

function switchField(knob, label, send) {
  const el = h("input", { type: "checkbox", "aria-label": label, disabled: knob.absent !== "", title: knob.absent || null });
  el.onchange = () => send(el.checked);
  return { el, show: (value) => (el.checked = value === true) };
}

function choiceField(knob, label, send) {
  const el = h("select", { "aria-label": label }, ...knob.options.map(([value, text]) => h("option", { value, text })));
  el.onchange = () => send(el.value);
  return { el, show: (value) => (el.value = value) };
}

function textField(knob, label, send) {
  const isNumber = NUMBERS.includes(knob.kind);
  const el = h("input", { type: isNumber ? "number" : "text", step: isNumber ? "any" : null, placeholder: knob.unset, "aria-label": label, spellcheck: "false" });
  el.onchange = () => send(el.value);
  const show = (value, side) => {
    if (document.activeElement !== el && el.value !== String(value)) el.value = value;
    if (knob.kind === "names" && side.devices.length) el.title = `this machine has ${side.devices.join(", ")}; HOST:PORT names a server elsewhere`;
  };
  return { el, show };
}

function modelField(label, models, send) {
  const typed = h("input", { type: "text", placeholder: "path to a .gguf file", "aria-label": `${label}, path`, spellcheck: "false" });
  const list = h("select", { "aria-label": label }, ...models.map(([value, text]) => h("option", { value, text: visibleText(text) })));
  list.onchange = () => (list.value ? send(list.value) : ((typed.hidden = false), typed.focus()));
  typed.onchange = () => send(typed.value);
  const show = (value) => {
    const isListed = models.some(([path]) => path === value && value !== "");
    if (document.activeElement === typed) return;
    list.value = isListed ? value : "";
    typed.hidden = isListed;
    if (!isListed) typed.value = value;
  };
  return { el: h("span", { class: "wb-knob-model" }, list, typed), show };
}

// How many layers go to devices: from none to all and the output layer, which counts as one more.
function layersField(label, send) {
  const range = h("input", { type: "range", min: 0, max: 1, step: 1, "aria-label": label });
  const said = h("output", { class: "wb-knob-said" });
  let most = 1;
  let sent = null; // what Python was told and did not yet tell back: an older answer must not undo the next key
  const words = () => {
    const n = Number(range.value);
    said.textContent = n === 0 ? "none" : n >= most ? `all ${most - 1} and output` : n === 1 ? "the output layer" : `last ${n - 1} of ${most - 1} and output`;
    range.setAttribute("aria-valuetext", said.textContent);
  };
  range.oninput = words;
  range.onchange = () => send((sent = range.value));
  range.onblur = () => (sent = null);
  const show = (value, side) => {
    if (side.n_layer) range.max = most = side.n_layer + 1;
    const n = Number(value) < 0 ? most : Math.min(most, Number(value) || 0);
    if (sent === String(n)) sent = null;
    if (sent === null && !range.matches(":active")) range.value = n;
    words();
  };
  return { el: h("span", { class: "wb-knob-layers" }, range, said), show };
}
