// The runtime lab's page: the request, both sides with what they would take, their controls. Results are drawn below it.

class RuntimeLab {
  constructor(model, el) {
    this.stamp = -1;
    this.send = (type, facts = {}) => model.send({ type, ...facts });
    this.knobs = new KnobTable((side, changes) => this.send("change", { side, changes }));
    this.cards = Object.fromEntries(SIDES.map((side) => [side, new SideCard(side, () => this.askLog(side))]));
    this.root = h("div", { class: "wb wb-runtime", "data-lm-suppress-shortcuts": "true" }, this.head(), this.request(),
      this.status(), h("div", { class: "wb-cards" }, ...SIDES.map((side) => this.cards[side].el)), this.knobs.el);
    el.append(this.root);
    this.unfollow = followTheme(this.root, (theme) => this.send("theme", { theme }));
    this.showCopies = keepCopiesHidden(this.root);
  }

  head() {
    const button = (text, title, press) => h("button", { class: "wb-button", text, title, onclick: press });
    this.live = this.toggle("live", "run on a change");
    this.layers = this.toggle("layers", "by layer");
    return h("header", { class: "wb-head" }, h("h3", { text: "Runtime lab" }), h("span", { class: "wb-gap" }),
      this.live.el, this.layers.el, button("B as A", "give B all settings of A", () => this.send("align")),
      button("Run", "compute both sides", () => this.send("run")),
      button("Freeze for sharing", "replace this live view by a static copy of what it shows", () => this.send("freeze")));
  }

  toggle(name, words) {
    const box = h("input", { type: "checkbox" });
    box.onchange = () => this.send("switch", { changes: { [name]: box.checked } });
    return { box, el: h("label", { class: "wb-switch" }, box, h("span", { text: words })) };
  }

  request() {
    const ask = (name, field, event) => field.addEventListener(event, () => this.send("ask", { changes: { [name]: field.value } }));
    this.name = h("select", { "aria-label": "request" });
    this.most = h("input", { type: "number", min: 0, step: 1, "aria-label": "answer, tokens at most" });
    this.text = h("textarea", { rows: 10, spellcheck: "false", "aria-label": "request as JSON" });
    this.wrong = h("div", { class: "wb-remark wb-wrong", role: "alert" });
    ask("request", this.name, "change");
    ask("max_tokens", this.most, "change");
    ask("request_text", this.text, "change");
    [this.most, this.text].forEach((field) => field.addEventListener("keydown", (event) => event.stopPropagation()));
    const labelled = (words, field) => h("div", { class: "wb-control" }, h("span", { class: "wb-label", text: words }), field);
    this.edit = h("details", { class: "wb-edit" }, h("summary", { class: "wb-label", text: "Edit request" }), this.text);
    return h("div", {}, h("div", { class: "wb-row wb-small" }, labelled("Request", this.name), labelled("Answer, tokens", this.most), this.edit, this.progress()), this.wrong);
  }

  progress() {
    this.bar = h("progress", { max: 1, "aria-label": "progress" });
    this.doing = h("span", { class: "wb-doing", role: "status" });
    this.busy = h("span", { class: "wb-busy" }, this.bar, this.doing, h("button", { class: "wb-button wb-cancel", text: "Cancel", onclick: () => this.send("cancel") }));
    this.busy.hidden = true;
    return this.busy;
  }

  status() {
    this.trouble = h("div", { class: "wb-remark wb-wrong wb-trouble", role: "alert" });
    this.trouble.hidden = true;
    this.log = h("pre", { class: "wb-log", tabindex: 0, "aria-label": "llama.cpp log" });
    this.log.hidden = true;
    return h("div", { class: "wb-status" }, this.trouble, this.log);
  }

  askLog(side) {
    if (this.log.hidden || this.log.dataset.side !== side) this.send("log", { side });
    else this.log.hidden = true;
  }

  // -- messages from Python --------------------------------------------------------------------------

  receive(message) {
    const handler = { knobs: "onKnobs", controls: "onControls", begin: "onBegin", progress: "onProgress", end: "onEnd", log: "onLog" }[message.type];
    if (handler) this[handler](message);
  }

  onKnobs({ groups, options }) {
    this.knobs.build(groups, options);
  }

  onControls({ sides, request, live, layers }) {
    this.knobs.show(sides);
    SIDES.forEach((side) => this.cards[side].show(sides[side]));
    this.live.box.checked = live;
    this.layers.box.checked = layers;
    const listed = JSON.stringify(request.options);
    if (this.listed !== listed) this.name.replaceChildren(...request.options.map(([value, text]) => h("option", { value, text: visibleText(text) })));
    this.listed = listed; // an open list stays open
    this.name.value = request.name;
    if (document.activeElement !== this.text) this.text.value = request.text;
    if (document.activeElement !== this.most) this.most.value = request.max_tokens;
    this.wrong.hidden = !request.error;
    this.wrong.textContent = request.error ? visibleText(request.error) : "";
    if (request.error) this.edit.open = true;
  }

  onBegin({ stamp }) {
    this.stamp = stamp;
    this.root.dataset.busy = "true";
    this.trouble.hidden = true;
    this.doing.textContent = "";
    this.bar.removeAttribute("value");
    clearTimeout(this.patience);
    this.patience = setTimeout(() => (this.busy.hidden = false), 400);
  }

  onProgress({ stamp, operation, done, total }) {
    if (stamp < this.stamp) return;
    this.doing.textContent = `${operation} ${total > 1 ? `${count(done)} of ${count(total)}` : ""}`;
    if (total > 0) this.bar.value = done / total;
    else this.bar.removeAttribute("value");
  }

  onEnd({ stamp, trouble }) {
    if (stamp < this.stamp) return;
    clearTimeout(this.patience);
    this.busy.hidden = true;
    this.root.dataset.busy = "false";
    this.root.dataset.done = stamp;
    this.trouble.hidden = !trouble;
    this.trouble.textContent = trouble ? visibleText(trouble).replaceAll("↵\n", "\n") : "";
  }

  onLog({ side, lines }) {
    this.log.hidden = false;
    this.log.dataset.side = side;
    this.log.textContent = lines.map((line) => visibleText(line)).join("\n") || `nothing was loaded for ${side.toUpperCase()} yet`;
    this.log.scrollTop = this.log.scrollHeight;
  }

  close() {
    this.unfollow();
    this.showCopies();
  }
}

// What one side would take, before it is loaded: where each layer would lie, bytes by device, what is refused.
class SideCard {
  constructor(side, askLog) {
    const text = (name) => (this[name] = h("div", { class: `wb-card-${name}` }));
    this.state = h("span", { class: "wb-aside" });
    this.places = h("div", { class: "wb-places-bar", role: "img" });
    this.refused = h("div", { class: "wb-remark wb-wrong", role: "alert" });
    this.el = h("section", { class: "wb-card", "data-card": side, "aria-label": `side ${side.toUpperCase()}` },
      h("h4", {}, side.toUpperCase(), this.state, h("span", { class: "wb-gap" }), h("button", { class: "wb-link", text: "llama.cpp log", onclick: askLog })),
      this.places, text("where"), text("memory"), this.refused, text("notes"));
  }

  show({ state, pending, places, where, memory, refused, notes }) {
    this.state.textContent = state + (pending && pending !== "nothing" ? ` · to run it takes ${pending}` : "");
    const names = [...new Set(places)];
    this.places.replaceChildren(...places.map((name, i) => h("span", { class: `wb-place wb-d${name === "CPU" ? 0 : Math.max(1, names.filter((one) => one !== "CPU").indexOf(name) + 1)}`, title: i === places.length - 1 ? `output layer: ${name}` : `layer ${i}: ${name}` })));
    this.places.hidden = !places.length;
    this.places.setAttribute("aria-label", where);
    this.where.textContent = where;
    this.memory.textContent = memory ? `before loading: ${memory}` : "";
    this.refused.hidden = !refused;
    this.refused.textContent = refused ? visibleText(refused) : "";
    this.notes.replaceChildren(...notes.map((note) => h("div", { class: "wb-remark wb-note", text: visibleText(note) })));
  }
}

export default {
  render({ model, el }) {
    const lab = new RuntimeLab(model, el);
    const receive = (message) => lab.receive(message);
    model.on("msg:custom", receive);
    model.send({ type: "hello" });
    return () => {
      model.off("msg:custom", receive);
      lab.close();
    };
  },
};
