// A text area with line numbers and coloured syntax: the text area stays what it is, the colours lie behind it.

const JINJA_WORDS = new Set(("if elif else endif for endfor in not and or is set endset macro endmacro call endcall filter endfilter with endwith " +
  "block endblock raw endraw generation endgeneration break continue recursive loop namespace true false none True False None defined undefined " +
  "range end template define eq ne lt le gt ge len index").split(" "));
const IN_TAG = /(-?[%}]\})|("|')|(\d+(?:\.\d+)?)|([A-Za-z_][A-Za-z0-9_]*)|([{[(])|([}\])])|(\s+)|(.)/y;
const RAW = /\{%[-+]?\s*raw\s*[-+]?%\}/y;
const END_RAW = /\{%[-+]?\s*endraw\s*[-+]?%\}/g;
const IN_JSON = /("(?:[^"\\]|\\.)*"?)(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null)|(\s+)|(.)/y;
const LONG_LINE = 40000; // a longer one is not coloured

// One line's coloured parts, `[class, text]` each, and the state in which the next line begins: "text", "raw",
// "comment", "tag" and how many brackets are open in it, or the quote of a string and the same number.
function colourJinja(line, state) {
  const parts = [];
  for (let at = 0; at < line.length; ) {
    const step = { c: inComment, r: inRaw, t: state === "text" ? inText : inTag, '"': inString, "'": inString }[state[0]];
    const [kind, size, next] = step(line, at, state);
    if (size) parts.push([kind, line.slice(at, at + size)]);
    [at, state] = [at + size, next];
  }
  return { parts, state };
}

// Each of these: the class, the length and the state behind it of what stands at `at`.
function inText(line, at) {
  const open = line.slice(at).search(/\{[{%#]/);
  if (open !== 0) return ["wb-c-text", open < 0 ? line.length - at : open, "text"];
  if (line[at + 1] === "#") return inComment(line, at, "", at + 2);
  RAW.lastIndex = at;
  const raw = RAW.exec(line);
  if (raw) return ["wb-c-tag", raw[0].length, "raw"];
  return ["wb-c-tag", line[at + 2] === "-" || line[at + 2] === "+" ? 3 : 2, "tag0"];
}

function inComment(line, at, _state, from = at) {
  const end = line.indexOf("#}", from);
  return ["wb-c-comment", (end < 0 ? line.length : end + 2) - at, end < 0 ? "comment" : "text"];
}

function inRaw(line, at) {
  END_RAW.lastIndex = at;
  const end = END_RAW.exec(line);
  if (!end) return ["wb-c-text", line.length - at, "raw"];
  return end.index > at ? ["wb-c-text", end.index - at, "raw"] : ["wb-c-tag", end[0].length, "text"];
}

function inTag(line, at, state) {
  const open = Number(state.slice(3));
  IN_TAG.lastIndex = at;
  const [all, close, quote, number, name, bracket, closing] = IN_TAG.exec(line);
  if (close && (open === 0 || close.endsWith("%}"))) return ["wb-c-tag", all.length, "text"];
  if (close) return ["", all.length - 1, `tag${close.length > 2 ? open : open - 1}`]; // a bracket, or a sign before one
  if (quote) return ["wb-c-string", 1, quote + open];
  if (bracket) return ["", 1, `tag${open + 1}`];
  if (closing) return ["", 1, `tag${Math.max(0, open - 1)}`];
  const kind = number ? "wb-c-number" : name ? (JINJA_WORDS.has(name) ? "wb-c-word" : "wb-c-name") : "";
  return [kind, all.length, state];
}

function inString(line, at, state) {
  for (let i = at; i < line.length; i++) {
    if (line[i] === "\\") i++;
    else if (line[i] === state[0]) return ["wb-c-string", i + 1 - at, `tag${state.slice(1)}`];
  }
  return ["wb-c-string", line.length - at, state];
}

function colourJson(line) {
  const parts = [];
  for (let at = 0; at < line.length; ) {
    IN_JSON.lastIndex = at;
    const [all, string, colon, number, word] = IN_JSON.exec(line);
    if (string) {
      parts.push([colon === undefined ? "wb-c-string" : "wb-c-name", string]);
      if (colon !== undefined) parts.push(["", colon]);
    } else parts.push([number ? "wb-c-number" : word ? "wb-c-word" : "", all]);
    at += all.length;
  }
  return { parts, state: "text" };
}

class CodeEditor {
  constructor(field, colour) {
    this.field = field;
    this.colour = colour;
    this.rows = []; // {text, before, after, el, no}
    this.place = null;
    this.gutter = h("div", { class: "wb-code-gutter", "aria-hidden": "true" });
    this.lines = h("div", { class: "wb-code-lines", "aria-hidden": "true" });
    field.classList.add("wb-code-field");
    field.setAttribute("wrap", "off");
    this.el = h("div", { class: "wb-code" }, h("div", { class: "wb-code-left" }, this.gutter), h("div", { class: "wb-code-body" }, this.lines, field));
    field.addEventListener("input", () => this.draw());
    field.addEventListener("scroll", () => this.follow());
  }

  // Bring the colours up to date: only lines that changed are made anew.
  draw() {
    const texts = this.field.value.split("\n");
    const old = this.rows;
    let head = 0;
    while (head < texts.length && head < old.length && old[head].text === texts[head]) head++;
    if (head === texts.length && head === old.length) return;
    let tail = 0;
    while (tail < texts.length - head && tail < old.length - head && old[old.length - 1 - tail].text === texts[texts.length - 1 - tail]) tail++;
    const fresh = texts.slice(head, texts.length - tail).map((text) => ({ text, before: null, el: h("div", { class: "wb-code-line" }), no: h("div", { class: "wb-code-no" }) }));
    for (const row of old.slice(head, old.length - tail)) [row.el, row.no].forEach((el) => el.remove());
    const next = old[old.length - tail];
    for (const row of fresh) {
      this.lines.insertBefore(row.el, tail ? next.el : null);
      this.gutter.insertBefore(row.no, tail ? next.no : null);
    }
    this.mark(null); // it was of the text before
    this.rows = [...old.slice(0, head), ...fresh, ...old.slice(old.length - tail)];
    this.colourAll();
    requestAnimationFrame(() => this.follow()); // to ask where it is scrolled in the middle of changes costs a layout
  }

  colourAll() {
    let state = "text";
    this.rows.forEach((row, index) => {
      if (row.before !== state) this.fill(row, state);
      if (row.no.textContent !== String(index + 1)) row.no.textContent = index + 1;
      state = row.after;
    });
  }

  fill(row, state) {
    const isLong = row.text.length > LONG_LINE;
    const found = isLong ? { parts: [["", row.text]], state } : this.colour(row.text, state);
    [row.before, row.after] = [state, found.state];
    row.el.replaceChildren(...found.parts.map(([kind, text]) => (kind ? h("span", { class: kind, text }) : text)), "\n");
  }

  // Show where an error stands: [line, column] from 1, or null.
  mark(place) {
    const row = this.place && this.rows[this.place[0] - 1];
    for (const el of row ? [row.el, row.no] : []) el.classList.remove("wb-code-wrong");
    this.place = place;
    const now = place && this.rows[place[0] - 1];
    for (const el of now ? [now.el, now.no] : []) el.classList.add("wb-code-wrong");
  }

  follow() {
    const { scrollLeft, scrollTop } = this.field;
    this.lines.style.transform = `translate(${-scrollLeft}px, ${-scrollTop}px)`;
    this.gutter.style.transform = `translateY(${-scrollTop}px)`;
  }
}
