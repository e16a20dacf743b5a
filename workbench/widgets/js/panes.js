// One class a stage. Each has `el`, `show(stages)` when values changed and `mark(selection)` when the selection did.

class Pane {
  constructor(name, body) {
    this.name = name;
    this.aside = h("span", { class: "wb-aside" });
    this.remarks = h("div", { class: "wb-remarks" });
    this.legend = h("div", { class: "wb-legend" });
    const title = h("h4", {}, h("span", { text: TITLES[name] }), this.aside);
    this.body = body;
    this.el = h("section", { class: `wb-pane wb-pane-${name}`, "aria-label": TITLES[name] }, title, this.legend, this.remarks, body);
  }

  // What the user should know about the stage; each text in its own box.
  remark(items) {
    this.remarks.replaceChildren(...items.filter(([, text]) => text).map(([kind, text]) => h("div", { class: `wb-remark wb-${kind}`, text: visibleText(text) })));
  }

  key(items) {
    this.legend.replaceChildren(...items.map(([kind, words]) => h("span", { class: `wb-key ${kind}`, text: words })));
  }

  // `el` as all that the body holds. What stands there stays: put there anew it would lose its focus and its place.
  place(el) {
    if (this.body.childNodes.length !== 1 || this.body.firstChild !== el) this.body.replaceChildren(el);
  }

  empty(words) {
    this.aside.textContent = "";
    this.remark([]);
    this.key([]);
    this.body.replaceChildren(h("div", { class: "wb-quiet", text: words }));
  }
}

class MessagesPane extends Pane {
  constructor(select) {
    super("messages", h("div", { class: "wb-scroll", tabindex: 0, role: "group", "aria-label": "messages" }));
    this.select = select;
    this.fields = [];
  }

  show({ messages }) {
    if (!messages) return this.empty("no request");
    this.data = messages;
    this.aside.textContent = `${count(messages.groups.length)}`;
    this.remark(messages.notes.map((text) => ["note", text]));
    this.fields = [];
    this.view ??= new Chunks(this.body, (chunk) => this.fill(chunk));
    this.view.show(messages.groups.map((group) => ({ group, weight: group.fields.reduce((sum, f) => sum + f.end - f.start + 60, 60) })));
  }

  fill({ group }) {
    const role = h("button", { class: `wb-role wb-role-${group.kind}`, title: `select all of ${group.path}`, text: visibleText(group.title) });
    role.onclick = () => this.select(selectField(this.stages(), group.path));
    return h("div", { class: "wb-message" }, role, ...group.fields.map((field) => this.field(field)));
  }

  field(field) {
    const marks = (this.selection?.fields ?? []).filter((f) => samePlace(field.path, f.path));
    const limit = Math.min(field.end, field.start + 20000);
    const cuts = new Set([0, limit - field.start]);
    for (const m of marks) if (m.path === field.path && m.start !== null) [m.start, m.end].forEach((c) => c < limit - field.start && cuts.add(Math.max(0, c)));
    const edges = [...cuts].sort((a, b) => a - b);
    const body = h("span", { class: "wb-text" });
    edges.slice(1).forEach((end, k) => {
      const on = marks.some((m) => m.start === null || m.path !== field.path || (m.start < end && m.end > edges[k]));
      body.append(h("span", { class: on ? "wb-on" : "", text: visible(this.data.text, field.start + edges[k], field.start + end) }));
    });
    if (field.end === field.start) body.append(h("i", { class: "wb-quiet", text: field.absent || "empty" }));
    if (limit < field.end) body.append(h("div", { class: "wb-quiet", text: `… ${count(field.end - limit)} more characters not shown` }));
    const label = field.label ? h("span", { class: "wb-label", text: visibleText(field.label) }) : null;
    const row = h("div", { class: "wb-field", tabindex: 0, role: "button", title: visibleText(field.path) }, label, body);
    row.onclick = () => this.select(selectField(this.stages(), field.path));
    row.onkeydown = pressed;
    return row;
  }

  mark(selection) {
    this.selection = selection;
    if (!this.view || !this.data) return;
    this.view.redraw();
    const first = selection.fields[0];
    if (!first || selection.from === "messages") return;
    const chunk = this.view.chunks.find((c) => c.group.fields.some((f) => samePlace(f.path, first.path)));
    this.view.reveal(chunk, (el) => el.querySelector(".wb-on"));
  }
}

class RenderedPane extends Pane {
  constructor(select) {
    super("rendered", h("div", { class: "wb-scroll wb-prompt", tabindex: 0, role: "document", "aria-label": "rendered prompt" }));
    this.select = select;
    this.body.addEventListener("mouseup", (event) => this.picked(event));
    this.body.addEventListener("keydown", (event) => this.key_(event));
  }

  show({ rendered }) {
    this.data = rendered;
    if (!rendered) return this.empty("no prompt");
    this.aside.textContent = rendered.text ? `${count(rendered.text.length)} characters` : "";
    const rewrites = rendered.rewrites.map((text) => ["note", `rewritten: ${text}`]);
    this.remark([["wrong", rendered.error], ...rewrites, ...rendered.notes.map((text) => ["note", text])]);
    this.key(rendered.origins.map((name) => [`wb-o-${name}`, ORIGIN_WORDS[name]]));
    this.view ??= new Chunks(this.body, (chunk) => this.fill(chunk));
    this.view.show(rendered.text ? this.cut(rendered) : []);
    if (!rendered.text?.length) this.body.replaceChildren(h("span", { class: "wb-quiet", text: rendered.text ? "empty text" : "no text" }));
  }

  // Chunks of some thousand characters that end at line ends where they can.
  cut({ text }) {
    const chunks = [];
    for (let start = 0; start < text.length; ) {
      let end = Math.min(text.length, start + 3000);
      for (let i = end; end < text.length && i > start + 1500; i--) if (text[i - 1] === 10) { end = i; break; }
      chunks.push({ start, end, weight: end - start });
      start = end;
    }
    return chunks;
  }

  fill(chunk) {
    const fragment = document.createDocumentFragment();
    const ranges = this.selection?.text ?? [];
    const edges = new Set([chunk.start, chunk.end]);
    const spans = spansIn(this.data, chunk.start, chunk.end);
    const add = (x) => x > chunk.start && x < chunk.end && edges.add(x);
    spans.forEach((s) => add(s.start));
    ranges.forEach(([a, b]) => (add(a), add(b)));
    const sorted = [...edges].sort((a, b) => a - b);
    let at = 0;
    for (let k = 0; k + 1 < sorted.length; k++) {
      const [a, b] = [sorted[k], sorted[k + 1]];
      while (at + 1 < spans.length && spans[at].end <= a) at++;
      const origin = spans[at]?.origin ?? "unknown";
      const on = overlaps(ranges, a, b) ? " wb-on" : "";
      const stretch = h("span", { class: `wb-s wb-o-${origin}${on}`, title: spanWords(spans[at]), text: visible(this.data.text, a, b) });
      stretch.range = [a, b];
      fragment.append(stretch);
    }
    return fragment;
  }

  // A click selects the whole stretch of one origin, a drag the characters under it.
  picked(event) {
    if (!this.data?.text) return;
    const chosen = window.getSelection();
    if (chosen && !chosen.isCollapsed && this.body.contains(chosen.anchorNode) && this.body.contains(chosen.focusNode)) {
      const ends = [this.positionAt(chosen.anchorNode, chosen.anchorOffset), this.positionAt(chosen.focusNode, chosen.focusOffset)];
      const [start, end] = [Math.min(...ends), Math.max(...ends)];
      if (start >= 0 && end > start) {
        chosen.removeAllRanges();
        return this.select(selectText(this.stages(), start, end));
      }
    }
    const stretch = event.target.closest?.(".wb-s");
    if (stretch) this.step(spanIndexAt(this.data, stretch.range[0]));
  }

  positionAt(node, offset) {
    const stretch = (node.nodeType === 3 ? node.parentElement : node).closest?.(".wb-s");
    if (!stretch) return -1;
    let seenSoFar = 0;
    for (let i = stretch.range[0]; i < stretch.range[1]; i++) {
      if (seenSoFar >= offset) return i;
      seenSoFar += seen(this.data.text[i]).length;
    }
    return stretch.range[1];
  }

  key_(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const n = (this.data?.spans?.length ?? 0) / SPAN;
    if (!step || !n) return;
    event.preventDefault();
    event.stopPropagation();
    this.step(Math.max(0, Math.min(n - 1, (this.index ?? -step) + step)));
  }

  step(index) {
    this.index = index;
    const one = span(this.data, index);
    this.select(selectText(this.stages(), one.start, one.end));
  }

  mark(selection) {
    this.selection = selection;
    if (!this.view || !this.data) return;
    this.view.redraw();
    if (!selection.text.length || !this.view.chunks.length) return;
    const first = selection.text[0][0];
    const chunk = this.view.chunks[lastNotBehind(Int32Array.from(this.view.chunks, (c) => c.start), first)];
    this.view.reveal(chunk, (el) => el.querySelector(".wb-on"));
  }
}

const ORIGIN_WORDS = { template: "template", message: "message", tool: "tool", default: "engine's default", unknown: "unknown", mixed: "several origins", added: "added by the tokenizer" };

// Where a stretch came from, in words; with `range` only that part of it.
function spanWords(s, range = null) {
  if (!s) return "origin unknown";
  const [start, end] = range ? [Math.max(s.start, range[0]), Math.min(s.end, range[1])] : [s.start, s.end];
  const place = s.verbatim && s.offset >= 0 ? ` characters ${s.offset + start - s.start}–${s.offset + end - s.start}` : "";
  const parts = [s.path ? visibleText(s.path) + place : s.origin === "template" ? "" : ORIGIN_WORDS[s.origin]];
  if (!s.verbatim) parts.push("changed on the way");
  if (s.line > 0) parts.push(`template line ${s.line}, column ${s.column}`);
  return parts.filter(Boolean).join(", ");
}

const TYPE_WORDS = { normal: "normal", unknown: "unknown", control: "control", user_defined: "user-defined", unused: "unused", byte: "byte" };

class TokensPane extends Pane {
  constructor(select) {
    super("tokens", h("div", { class: "wb-host" }));
    this.strip = new Strip("tokens of the prompt", (i) => select(selectToken(this.stages(), i)));
  }

  show({ tokens, rendered }) {
    if (!tokens) return this.empty("no tokens");
    this.place(this.strip.box);
    this.aside.textContent = count(tokens.ids.length);
    this.remark([...tokens.added.map(({ index, by }) => ["note", `token ${index} was added by ${by}`]), ...tokens.notes.map((t) => ["note", t])]);
    const kinds = TYPES.filter((_, k) => k > 0 && tokens.types.includes(k));
    this.key([...kinds.map((kind) => [`wb-k-${kind}`, TYPE_WORDS[kind]]), ["wb-o-mixed", ORIGIN_WORDS.mixed]]);
    this.strip.show(tokens, (i) => ({ kind: `wb-k-${TYPES[tokens.types[i]]} wb-o-${tokenOrigin(rendered, tokens, i)}`, words: tokenWords(tokens, i) }));
  }

  mark(selection) {
    this.strip.mark(selection.tokens, selection.tokens[0]);
  }
}

const tokenWords = (tokens, i) =>
  `#${i} · id ${tokens.ids[i]} · ${TYPE_WORDS[TYPES[tokens.types[i]]]} · bytes ${bytesWords(tokens.pieces, tokens.offsets[i], tokens.offsets[i + 1])}`;

const probabilityKey = () => BIN_WORDS.map((words, k) => [`wb-p${k}`, words]);

class ScoresPane extends Pane {
  constructor(select) {
    super("scores", h("div", { class: "wb-host" }));
    this.strip = new Strip("tokens of the prompt by probability", (i) => select({ ...selectToken(this.stages(), i), from: "scores" }));
  }

  show({ scores }) {
    if (!scores?.of) return this.empty("no scores");
    const tokens = scores.of; // those that were scored: newer ones may be on screen already
    this.place(this.strip.box);
    this.aside.textContent = scores.mean === null ? "" : `mean ${scores.mean.toFixed(2)} nats a token`;
    this.remark([]);
    this.key(probabilityKey());
    this.strip.show(tokens, (i) => {
      const p = promptProbability(scores, i);
      const words = p === p ? `probability ${percent(p)}, rank ${count(scores.rank[i - 1])}` : "nothing stands before it";
      return { kind: `wb-k-${TYPES[tokens.types[i]]} wb-p${bin(p)}`, words: `${tokenWords(tokens, i)} · ${words}` };
    });
  }

  mark(selection) {
    this.strip.mark(selection.tokens, selection.tokens[0]);
  }
}

class AnswerPane extends Pane {
  constructor(select) {
    super("generation", h("div", { class: "wb-host" }));
    this.strip = new Strip("tokens of the answer", (k) => select(selectStep(this.stages(), k)));
  }

  show({ generation }) {
    if (!generation) return this.empty("no answer");
    this.place(this.strip.box);
    this.aside.textContent = `${count(generation.ids.length)} tokens`;
    this.remark([[generation.stop_reason === "end-of-generation" ? "plain" : "note", `stopped: ${generation.stopped}`]]);
    this.key(probabilityKey());
    this.strip.show(generation, (k) => {
      const p = Math.exp(generation.logprob[k]);
      const words = `${tokenWords(generation, k)} · probability ${percent(p)}, rank ${count(generation.rank[k])}`;
      return { kind: `wb-k-${TYPES[generation.types[k]]} wb-p${bin(p)}`, words };
    });
  }

  mark(selection) {
    this.strip.mark(selection.steps, selection.steps[0]);
  }
}

class ParsedPane extends Pane {
  constructor(select) {
    super("parsed", h("div", { class: "wb-scroll" }));
    this.select = select;
  }

  show({ parsed }) {
    this.data = parsed;
    if (!parsed) return this.empty("no answer to parse");
    this.aside.textContent = `parser ${parsed.parser}`;
    this.draw(nothing());
  }

  draw(selection) {
    const rows = this.data.parts.map((part) => {
      const on = part.span[0] >= 0 && overlaps(selection.raw, part.span[0], part.span[1]);
      const text = visible(this.data.text, part.start, part.end);
      const row = h("div", { class: `wb-part wb-part-${part.kind}${on ? " wb-on" : ""}`, tabindex: 0, role: "button" },
        h("span", { class: "wb-label", text: visibleText(part.label) }),
        h("span", { class: "wb-text", text: text || "empty" }));
      row.onclick = () => part.span[0] >= 0 && this.select(selectRaw(this.stages(), ...part.span));
      row.onkeydown = pressed;
      return row;
    });
    this.body.replaceChildren(...rows);
  }

  mark(selection) {
    if (this.data) this.draw(selection);
  }
}
