// What is known of tokens in words: one token's facts, and a range's.

const SHOWN_OTHERS = 8;
const SHOWN_BYTES = 120; // of one piece; a longer one is cut with a count

// A piece as text that can be seen, cut at a whole character; line feeds in a row end one line only.
function pieceText({ pieces, offsets }, i) {
  return oneBreak(clippedBytes(pieces, offsets[i], offsets[i + 1], SHOWN_BYTES));
}

const oneBreak = (text) => text.replace(/(?:↵\n)+/g, (run) => `${"↵".repeat(run.length / 2)}\n`);
const onOneLine = (text) => text.replaceAll("\n", "");

const typeWords = (data, i) => (data.control_like[i] ? "normal, looks like a control token" : TYPES[data.types[i]].replace("_", "-"));

function bytesWithCount({ pieces, offsets }, i) {
  const size = offsets[i + 1] - offsets[i];
  return bytesWords(pieces, offsets[i], offsets[i + 1]) + (size > 24 ? ` ${count(size)} bytes` : "");
}

// [name, words] of everything known of token i.
function tokenFacts(data, i) {
  const facts = [["id", String(data.ids[i])], ["type", typeWords(data, i)], ["bytes", bytesWithCount(data, i)]];
  if (data.rank?.[i]) {
    facts.push(["probability", percent(Math.exp(data.logprob[i]))], ["rank", count(data.rank[i])]);
    facts.push(["entropy", `${data.entropy[i].toFixed(2)} nats`]);
  } else if (data.rank) facts.push(["probability", "not scored: nothing stands before it"]);
  if (data.origin) facts.push(["from", `${data.origins[data.origin[i]]} ${visibleText(data.paths[data.path[i]])}`.trim()]);
  const added = data.added.filter((one) => one.index === i).map((one) => one.by);
  if (added.length) facts.push(["added by", visibleText(added.join(", "))]);
  if (data.difference) facts.push(["other", otherWords(data, i)]);
  return facts;
}

function otherWords(data, i) {
  const words = data.differences[data.difference[i]];
  if (words === "same") return words;
  const [start, end] = [data.others[2 * i], data.others[2 * i + 1]];
  const there = { pieces: data.other_pieces, offsets: data.other_offsets };
  const both = [];
  for (let k = start; k < Math.min(end, start + SHOWN_OTHERS); k++) both.push(`${there.offsets ? `${onOneLine(pieceText(there, k))} ` : ""}(${data.other_ids[k]})`);
  return `${words}: ${both.join(" ") || "nothing there"}${end - start > SHOWN_OTHERS ? ` … ${count(end - start)} tokens` : ""}`;
}

// A range of tokens in words: places, bytes, log-probability in all.
function rangeWords(data, start, end) {
  if (end <= start) return "nothing selected";
  const places = end === start + 1 ? `token ${count(start)}` : `tokens ${count(start)}–${count(end - 1)}, ${count(end - start)} tokens`;
  let [sum, known] = [0, 0];
  for (let i = start; data.rank && i < end; i++) if (data.rank[i]) [sum, known] = [sum + data.logprob[i], known + 1];
  const scored = known ? `, log-probability ${sum.toFixed(2)} nats` : "";
  return `${places}, ${count(data.offsets[end] - data.offsets[start])} bytes${scored} selected`;
}
