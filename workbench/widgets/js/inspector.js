// What is known about the selection, in words.

class Inspector {
  constructor() {
    this.facts = h("div", { "aria-live": "polite" });
    this.choices = h("div", { class: "wb-choices" });
    this.el = h("div", { class: "wb-inspector" }, this.facts, this.choices);
  }

  // Other candidates of the selected answer token: a click lets the answer go on with one.
  offer(step, rows, chosen) {
    const others = step === null ? [] : rows.filter(([, , , here]) => !here);
    const button = ([id, text, p]) => h("button", { class: "wb-button wb-choice", title: `id ${id}, ${percent(p)}: let the answer go on with it`, onclick: () => chosen(id) },
      h("span", { class: "wb-mono", text: visibleText(text) }), ` ${percent(p)}`);
    this.choices.replaceChildren(...(others.length ? [h("span", { class: "wb-label", text: "go on with" }), ...others.map(button)] : []));
  }

  show(selection, stages, template) {
    const facts = selection.steps.length ? this.step(selection, stages) : this.prompt(selection, stages);
    const line = this.source(selection, stages, template);
    this.facts.replaceChildren(...facts.map(([name, text, kind]) => h("span", { class: `wb-fact ${kind ?? ""}` }, h("b", { text: name }), text)), line ?? "");
    if (!facts.length) this.facts.replaceChildren(h("span", { class: "wb-quiet", text: "Select a message, a stretch of text or a token; arrow keys move along the tokens." }));
  }

  step({ steps }, { generation }) {
    const k = steps[0];
    if (!generation || k >= generation.ids.length) return [];
    const p = Math.exp(generation.logprob[k]);
    const more = steps.length > 1 ? ` and ${count(steps.length - 1)} more` : "";
    return [["answer token", `${k}${more}`], ["piece", visibleBytes(generation.pieces, generation.offsets[k], generation.offsets[k + 1]).trimEnd(), "wb-mono"],
      ["id", String(generation.ids[k])], ["type", TYPE_WORDS[TYPES[generation.types[k]]]], ["probability", percent(p)],
      ["rank", count(generation.rank[k])], ["entropy", `${generation.entropy[k].toFixed(2)} nats`], ["samplers", generation.samplers[k]]];
  }

  prompt({ tokens: chosen, text }, { tokens, scores, rendered }) {
    if (!chosen.length || !tokens || chosen[0] >= tokens.ids.length) {
      return text.length ? [["characters", `${text[0][0]}–${text[text.length - 1][1]}`]] : [];
    }
    if (chosen.length > 1) return [["tokens", `${chosen[0]}–${chosen[chosen.length - 1]} (${count(chosen.length)})`], ...this.origin(text, rendered)];
    const i = chosen[0];
    const facts = [["token", String(i)], ["piece", visibleBytes(tokens.pieces, tokens.offsets[i], tokens.offsets[i + 1]).trimEnd(), "wb-mono"],
      ["id", String(tokens.ids[i])], ["type", TYPE_WORDS[TYPES[tokens.types[i]]]], ["bytes", bytesWords(tokens.pieces, tokens.offsets[i], tokens.offsets[i + 1]), "wb-mono"]];
    const p = scores?.of === tokens ? promptProbability(scores, i) : NaN;
    if (p === p) facts.push(["probability", percent(p)], ["rank", count(scores.rank[i - 1])], ["entropy", `${scores.entropy[i - 1].toFixed(2)} nats`]);
    const by = tokens.added.find(({ index }) => index === i);
    return [...facts, ...(by ? [["added by", visibleText(by.by)]] : []), ...this.origin(text, rendered)];
  }

  origin(text, rendered) {
    if (!text.length) return [];
    const spans = text.flatMap(([a, b]) => spansIn(rendered, a, b));
    const exact = text.length === 1 ? ([one]) => one : () => null;
    const words = [...new Set(spans.map((s) => spanWords(s, exact(text))))];
    return [["origin", words.slice(0, 3).join("  |  ") + (words.length > 3 ? `  and ${words.length - 3} more` : "")]];
  }

  // The template's line that wrote the first selected character.
  source({ text }, { rendered }, template) {
    if (!text.length || !template) return null;
    const { line, column } = spansIn(rendered, text[0][0], text[0][1])[0] ?? {};
    if (!(line > 0)) return null;
    const source = Array.from(template.split("\n")[line - 1] ?? "");
    const from = Math.max(0, column - 1);
    const part = (a, b) => visibleText(source.slice(a, b).join(""));
    const before = (from > 40 ? "…" : "") + part(Math.max(0, from - 40), from);
    return h("div", { class: "wb-source" }, h("b", { text: `template line ${line}` }), h("code", {}, h("span", { class: "wb-quiet", text: before }), part(from, from + 300)));
  }
}
