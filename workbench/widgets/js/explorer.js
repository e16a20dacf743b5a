// The trace explorer's page: controls above, the linked stages below. Python sends values, this file links them.

class Explorer {
  constructor(model, el) {
    this.model = model;
    this.stages = {};
    this.selection = nothing();
    this.stamp = -1;
    this.send = (type, facts = {}) => model.send({ type, ...facts });
    this.controls = new Controls((changes, edit) => this.send("change", { changes, edit }));
    this.inspector = new Inspector();
    const select = (selection) => this.select(selection);
    this.panes = [new MessagesPane(select), new RenderedPane(select), new TokensPane(select), new ScoresPane(select), new AnswerPane(select), new ParsedPane(select)];
    this.panes.forEach((pane) => (pane.stages = () => this.stages));
    this.root = h("div", { class: "wb", "data-lm-suppress-shortcuts": "true" }, this.head(), this.controls.el, this.status(), this.tabs(), h("div", { class: "wb-panes" }, ...this.panes.map((pane) => pane.el)), this.inspector.el, this.under());
    el.append(this.root);
    this.unfollow = followTheme(this.root, (theme) => this.send("theme", { theme }));
    this.layout("grid");
    this.panes.forEach((pane) => pane.show(this.stages));
    this.inspector.show(this.selection, this.stages, "");
  }

  head() {
    this.freeze = h("button", { class: "wb-button", text: "Freeze for sharing", title: "replace this live view by a static copy of what it shows" });
    this.freeze.onclick = () => this.send("freeze");
    this.logButton = h("button", { class: "wb-button", text: "llama.cpp log", "aria-expanded": "false" });
    this.logButton.onclick = () => (this.log.hidden ? this.send("log") : this.showLog(null));
    this.look = h("button", { class: "wb-button", "data-look": "" });
    this.look.onclick = () => this.layout(this.root.dataset.layout === "grid" ? "steps" : "grid");
    this.log = h("pre", { class: "wb-log", tabindex: 0, "aria-label": "llama.cpp log" });
    this.log.hidden = true;
    return h("header", { class: "wb-head" }, h("h3", { text: "Trace explorer" }), h("span", { class: "wb-gap" }), this.look, this.logButton, this.freeze);
  }

  status() {
    this.bar = h("progress", { max: 1, value: 0, "aria-label": "progress" });
    this.doing = h("span", { class: "wb-doing" });
    this.cancel = h("button", { class: "wb-button wb-cancel", text: "Cancel" });
    this.cancel.onclick = () => this.send("cancel");
    this.busy = h("span", { class: "wb-busy" }, this.bar, this.doing, this.cancel);
    this.busy.hidden = true;
    this.times = h("span", { class: "wb-times" });
    this.trouble = h("div", { class: "wb-remark wb-wrong wb-trouble", role: "alert" });
    this.trouble.hidden = true;
    return h("div", { class: "wb-status" }, h("div", { class: "wb-line" }, this.times, h("span", { class: "wb-gap" }), this.busy), this.trouble, this.log);
  }

  tabs() {
    const tabs = STAGES.map((name) => h("button", { role: "tab", "data-stage": name, text: TITLES[name], onclick: () => this.step(name) }));
    this.tabRow = h("nav", { class: "wb-tabs", role: "tablist", "aria-label": "stages" }, ...tabs);
    this.tabRow.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      const next = STAGES[(STAGES.indexOf(this.root.dataset.step) + by + STAGES.length) % STAGES.length];
      this.step(next);
      this.tabRow.querySelector(`[data-stage="${next}"]`).focus();
    });
    return this.tabRow;
  }

  // What Python draws below this view: one thing at a time, or nothing.
  under() {
    const button = (panel, words, title) => h("button", { class: "wb-button", "data-panel": panel, "aria-pressed": "false", text: words, title, onclick: () => this.choosePanel(panel) });
    this.underRow = h("div", { class: "wb-row wb-under" }, h("span", { class: "wb-label", text: "Show below:" }),
      button("reach", "Where the prompt goes", "who has how much of the prompt, and what of the request is not in it"),
      button("engines", "Other engines", "the same request as every engine writes it, and what each changed in it before"),
      button("surprises", "Surprises", "where the model did not expect what stands in the prompt"),
      button("samplers", "Samplers", "the candidates of the selected answer token before and behind every sampler"),
      button("lens", "Layers", "what each layer would have said in the place of the selected prompt token"),
      button("branches", "Other answers", "the answer beside those that go on from another candidate"));
    return this.underRow;
  }

  choosePanel(panel) {
    const isOn = this.underRow.querySelector(`[data-panel="${panel}"]`).getAttribute("aria-pressed") === "true";
    this.markPanel(isOn ? "" : panel);
    this.send("change", { changes: { panel: isOn ? "" : panel } });
  }

  markPanel(panel) {
    for (const button of this.underRow.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.panel === panel));
  }

  onCandidates({ step, rows }) {
    this.inspector.offer(step, rows, (token) => this.send("branch", { token }));
  }

  onBelow({ stamp, panel, busy }) {
    if (stamp < this.stamp && busy) return;
    clearTimeout(this.patience);
    if (busy) this.patience = setTimeout(() => (this.busy.hidden = false), 400);
    else if (this.root.dataset.busy !== "true") this.busy.hidden = true;
    if (!busy) this.root.dataset.below = `${panel} ${stamp}`;
  }

  // "grid": all stages side by side; "steps": one at a time.
  layout(how) {
    this.root.dataset.layout = how;
    this.look.textContent = how === "grid" ? "Show as steps" : "Show side by side";
    this.step(this.root.dataset.step ?? "rendered");
  }

  step(name) {
    this.root.dataset.step = name;
    for (const tab of this.tabRow.children) tab.setAttribute("aria-selected", String(tab.dataset.stage === name));
    this.panes.forEach((pane) => pane.el.classList.toggle("wb-now", pane.name === name));
    this.panes.forEach((pane) => (pane.strip?.view ?? pane.view)?.drawVisible());
  }

  select(selection) {
    this.selection = selection;
    this.panes.forEach((pane) => pane.mark(selection));
    this.inspector.show(selection, this.stages, this.template);
    this.send("select", { token: selection.steps.length ? null : (selection.tokens[0] ?? null), step: selection.steps[0] ?? null });
  }

  // -- messages from Python --------------------------------------------------------------------------

  receive(message, buffers) {
    const handler = { controls: "onControls", begin: "onBegin", stage: "onStage", keep: "onKeep", end: "onEnd", progress: "onProgress", below: "onBelow", candidates: "onCandidates", trouble: "onTrouble", log: "onLog" }[message.type];
    if (handler) this[handler](message, buffers);
  }

  onControls(message) {
    this.template = message.values.template_text;
    this.controls.show(message);
    this.markPanel(message.values.panel);
    this.controls.showErrors(message.errors, message.places);
  }

  onBegin({ stamp }) {
    this.stamp = stamp;
    this.late = new Set(this.panes.filter((pane) => pane.name !== "messages"));
    this.onTrouble({ text: "" });
    this.root.dataset.busy = "true";
    clearTimeout(this.patience);
    this.patience = setTimeout(() => this.patient(), 400);
    this.doing.textContent = "";
    this.bar.removeAttribute("value");
  }

  // What is not there yet is dimmed only when it takes long: each change of style costs a frame of typing.
  patient() {
    this.busy.hidden = false;
    this.late.forEach((pane) => pane.el.classList.add("wb-waits"));
  }

  onStage(message, buffers) {
    if (message.stamp < this.stamp) return; // a later request has begun
    const { name } = message;
    this.stages[name] = message.empty ? undefined : decode(message, buffers);
    if (name === "scores" && this.stages.scores) this.stages.scores.of = this.stages.tokens;
    if (message.soon) this.undrawn = message; // the next stage is on its way: both are drawn at once, in one frame
    else this.drawStage(message);
  }

  drawStage(message) {
    const first = this.undrawn;
    this.undrawn = undefined;
    for (const one of [first, message]) {
      if (!one || one.stamp < this.stamp) continue;
      const { name, stamp } = one;
      this.panes.find((pane) => pane.name === name).show(this.stages);
      this.here(name, stamp);
      if (["messages", "rendered", "tokens", "generation"].includes(name)) this.reselect();
    }
  }

  onKeep({ stamp, name }) {
    if (stamp >= this.stamp) this.here(name, stamp);
  }

  here(name, stamp) {
    const pane = this.panes.find((one) => one.name === name);
    this.late?.delete(pane);
    pane.el.classList.remove("wb-waits");
    this.root.dataset[name] = stamp;
  }

  // After an edit the same place may be another token: the selection keeps its index where there is one.
  reselect() {
    const { tokens, generation } = this.stages;
    const { from, tokens: chosen, steps } = this.selection;
    if (!from) return;
    const stays = steps.length ? generation && steps[0] < generation.ids.length : chosen.length === 1 && tokens && chosen[0] < tokens.ids.length;
    this.selection = !stays ? nothing() : steps.length ? selectStep(this.stages, steps[0]) : selectToken(this.stages, chosen[0]);
    this.panes.forEach((pane) => pane.mark(this.selection));
    this.inspector.show(this.selection, this.stages, this.template);
  }

  onEnd({ stamp, elapsed, trouble }) {
    if (stamp < this.stamp) return;
    this.drawStage();
    clearTimeout(this.patience);
    this.busy.hidden = true;
    this.panes.forEach((pane) => pane.el.classList.remove("wb-waits"));
    this.root.dataset.busy = "false";
    this.root.dataset.done = stamp;
    this.times.replaceChildren(...elapsed.map(([name, words]) => h("span", { class: "wb-time" }, h("b", { text: TITLES[name] }), words)));
    this.onTrouble({ text: trouble });
    this.inspector.show(this.selection, this.stages, this.template);
  }

  onProgress({ stamp, operation, done, total }) {
    if (stamp < this.stamp) return;
    this.doing.textContent = `${operation} ${total > 1 ? `${count(done)} of ${count(total)}` : ""}`;
    if (total > 0) this.bar.value = done / total;
    else this.bar.removeAttribute("value");
  }

  onTrouble({ text }) {
    this.trouble.hidden = !text;
    this.trouble.textContent = text ? visibleText(text).replaceAll("↵\n", "\n") : "";
  }

  onLog({ lines }) {
    this.showLog(lines);
  }

  showLog(lines) {
    this.log.hidden = lines === null;
    this.logButton.setAttribute("aria-expanded", String(lines !== null));
    this.log.textContent = lines === null ? "" : lines.map((line) => visibleText(line)).join("\n") || "llama.cpp has written nothing yet";
    this.log.scrollTop = this.log.scrollHeight;
  }

  close() {
    this.unfollow();
    this.panes.forEach((pane) => (pane.strip?.view ?? pane.view)?.close());
  }
}

function render({ model, el }) {
  const explorer = new Explorer(model, el);
  const receive = (message, buffers) => explorer.receive(message, buffers);
  model.on("msg:custom", receive);
  model.send({ type: "hello" });
  const showCopies = keepCopiesHidden(explorer.root);
  el.dataset.ready = "1";
  return () => {
    showCopies();
    model.off("msg:custom", receive);
    explorer.close();
  };
}

export default { render };
