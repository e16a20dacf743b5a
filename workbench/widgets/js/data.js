// Stage messages from Python, decoded: small facts as JSON, everything long as typed arrays over its bytes.

const ORIGINS = ["template", "message", "tool", "default", "unknown"];
const TYPES = ["normal", "unknown", "control", "user_defined", "unused", "byte"];
const STAGES = ["messages", "rendered", "tokens", "scores", "generation", "parsed"];
const TITLES = { messages: "Messages", rendered: "Rendered", tokens: "Tokens", scores: "Scores", generation: "Answer", parsed: "Parsed", note: "Note" };

// A typed array over a DataView's bytes, copied where they are not aligned.
function over(view, Type) {
  const { buffer, byteOffset, byteLength } = view;
  if (byteOffset % Type.BYTES_PER_ELEMENT === 0) return new Type(buffer, byteOffset, byteLength / Type.BYTES_PER_ELEMENT);
  return new Type(buffer.slice(byteOffset, byteOffset + byteLength));
}

const ARRAYS = { i32: Int32Array, u32: Uint32Array, f32: Float32Array, u8: Uint8Array };

// `arrays` lists name and type of each buffer: {"facts": ..., "ids": Int32Array, ...}
function decode(message, buffers) {
  const stage = { ...message.facts };
  message.arrays.forEach(([name, type], i) => (stage[name] = over(buffers[i], ARRAYS[type])));
  return stage;
}

// Index of the last entry of sorted `starts` (every `step`th number) that is not behind `x`, -1 for none.
function lastNotBehind(starts, x, step = 1) {
  let [low, high] = [0, starts.length / step];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle * step] <= x) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// Span i of the rendered text: 8 numbers each, -1 for none.
const SPAN = 8;
function span(rendered, i) {
  const at = i * SPAN;
  const s = rendered.spans;
  return {
    start: s[at], end: s[at + 1], origin: ORIGINS[s[at + 2]], path: rendered.paths[s[at + 3]] ?? null,
    line: s[at + 4], column: s[at + 5], verbatim: s[at + 6] === 1, offset: s[at + 7],
  };
}

const spanIndexAt = (rendered, position) => lastNotBehind(rendered.spans, position, SPAN);

// The spans that overlap [start, end).
function spansIn(rendered, start, end) {
  const found = [];
  if (!rendered?.spans) return found;
  for (let i = Math.max(0, spanIndexAt(rendered, start)); i < rendered.spans.length / SPAN; i++) {
    const one = span(rendered, i);
    if (one.start >= end) break;
    if (one.end > start) found.push(one);
  }
  return found;
}

// A token's origin: that of its characters; "mixed" where they differ, "added" where it has none.
function tokenOrigin(rendered, tokens, i) {
  const [start, end] = [tokens.spans[2 * i], tokens.spans[2 * i + 1]];
  if (start < 0) return "unknown";
  if (start === end) return "added";
  const kinds = new Set(spansIn(rendered, start, end).map((s) => (s.path ? s.origin + s.path.split(/[[.]/)[0] : s.origin)));
  if (kinds.size > 1) return "mixed";
  return spansIn(rendered, start, end)[0]?.origin ?? "unknown";
}

// Probability of prompt token i, NaN for the first.
const promptProbability = (scores, i) => (i > 0 && i - 1 < scores.logprob.length ? Math.exp(scores.logprob[i - 1]) : NaN);

const BINS = [0.5, 0.1, 0.01, 0.001, 0];
const BIN_WORDS = ["≥ 50 %", "10–50 %", "1–10 %", "0.1–1 %", "< 0.1 %"];
const bin = (p) => (p === p ? BINS.findIndex((least) => p >= least) : -1);
