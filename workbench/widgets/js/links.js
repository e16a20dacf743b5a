// What one selection means in every stage. Pure functions; ranges are [start, end).

// A selection: stretches of the prompt's text, prompt tokens, fields of the request, steps of the answer.
const nothing = () => ({ from: null, text: [], tokens: [], fields: [], steps: [], raw: [] });

// The prompt tokens that overlap [start, end) of the text. Tokens are sorted, but some have no place (-1).
function tokensIn(tokens, start, end) {
  if (!tokens) return [];
  const found = [];
  for (let i = 0; i < tokens.ids.length; i++) {
    const [a, b] = [tokens.spans[2 * i], tokens.spans[2 * i + 1]];
    if (a >= 0 && a < end && b > start) found.push(i);
  }
  return found;
}

// The request's fields that the text [start, end) came from, with the characters in them where they are known.
function fieldsIn(rendered, start, end) {
  return spansIn(rendered, start, end)
    .filter((s) => s.path && (s.origin === "message" || s.origin === "tool"))
    .map((s) => {
      if (!s.verbatim || s.offset < 0) return { path: s.path, start: null, end: null };
      const first = s.offset + Math.max(0, start - s.start);
      return { path: s.path, start: first, end: s.offset + Math.min(s.end, end) - s.start };
    });
}

const within = (path, other) => path === other || path.startsWith(other + ".") || path.startsWith(other + "[");
const samePlace = (path, other) => within(path, other) || within(other, path);

function selectText(stages, start, end) {
  const { rendered, tokens } = stages;
  return { ...nothing(), from: "rendered", text: [[start, end]], tokens: tokensIn(tokens, start, end), fields: fieldsIn(rendered, start, end) };
}

function selectToken(stages, i) {
  const { rendered, tokens } = stages;
  if (!tokens || i >= tokens.ids.length) return nothing();
  const [start, end] = [tokens.spans[2 * i], tokens.spans[2 * i + 1]];
  const text = start >= 0 && end > start ? [[start, end]] : [];
  return { ...nothing(), from: "tokens", text, tokens: [i], fields: text.length ? fieldsIn(rendered, start, end) : [] };
}

// A field, or the characters [start, end) of it; `path` may be a whole message ("messages[0]").
function selectField(stages, path, start = null, end = null) {
  const { rendered, tokens } = stages;
  const text = [];
  for (let i = 0; i < (rendered?.spans?.length ?? 0) / SPAN; i++) {
    const s = span(rendered, i);
    if (!s.path || !samePlace(s.path, path)) continue;
    if (start === null || !s.verbatim || s.offset < 0) text.push([s.start, s.end]);
    else {
      const first = Math.max(s.start, s.start + start - s.offset);
      const last = Math.min(s.end, s.start + end - s.offset);
      if (first < last) text.push([first, last]);
    }
  }
  const found = [...new Set(text.flatMap(([a, b]) => tokensIn(tokens, a, b)))];
  return { ...nothing(), from: "messages", text, tokens: found, fields: [{ path, start, end }] };
}

function selectStep(stages, k) {
  const spans = stages.generation.spans;
  const raw = spans[2 * k] >= 0 ? [[spans[2 * k], spans[2 * k + 1]]] : [];
  return { ...nothing(), from: "generation", steps: [k], raw };
}

// The characters [start, end) of the text that the output parser read.
function selectRaw(stages, start, end) {
  const spans = stages.generation?.spans ?? [];
  const steps = [];
  for (let k = 0; k < spans.length / 2; k++) if (spans[2 * k] >= 0 && spans[2 * k] < end && spans[2 * k + 1] > start) steps.push(k);
  return { ...nothing(), from: "parsed", steps, raw: [[start, end]] };
}

const overlaps = (ranges, start, end) => ranges.some(([a, b]) => a < end && b > start);
