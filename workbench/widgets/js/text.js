// Code points, bytes and what of them can be seen. Offsets are code points everywhere, as in Python.

const HIDDEN = /^[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Zs}]$/u;
const hex = (n, width) => n.toString(16).toUpperCase().padStart(width, "0");

// One code point as text that can be seen: ↵ before a line feed, ⇥, ⟨U+202E⟩; with `spaces` a space is ·
function seen(cp, spaces) {
  if (cp === 0x20) return spaces ? "·" : " ";
  if (cp > 0x20 && cp < 0x7f) return String.fromCharCode(cp);
  if (cp === 0x0a) return "↵\n";
  if (cp === 0x09) return "⇥";
  if (cp < 0x20 || cp === 0x7f) return `⟨U+${hex(cp, 4)}⟩`;
  if (cp >= 0xd800 && cp <= 0xdfff) return `⟨U+${hex(cp, 4)}⟩`;
  const char = String.fromCodePoint(cp);
  return HIDDEN.test(char) ? `⟨U+${hex(cp, 4)}⟩` : char;
}

// The code points [a, b) of a Uint32Array as text that can be seen.
function visible(cps, a = 0, b = cps.length, spaces = false) {
  let out = "";
  for (let i = a; i < b; i++) out += seen(cps[i], spaces);
  return out;
}

const codePoints = (text) => Uint32Array.from(text, (char) => char.codePointAt(0));
const visibleText = (text, spaces = false) => visible(codePoints(String(text)), 0, undefined, spaces);

// Length of the valid UTF-8 sequence at `i`, 0 where there is none.
function sequence(bytes, i, end) {
  const lead = bytes[i];
  if (lead < 0x80) return 1;
  const size = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
  if (!size || i + size > end) return 0;
  for (let k = 1; k < size; k++) if ((bytes[i + k] & 0xc0) !== 0x80) return 0;
  const second = bytes[i + 1];
  if ((lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f)) return 0;
  if ((lead === 0xf0 && second < 0x90) || (lead === 0xf4 && second > 0x8f)) return 0;
  return size;
}

// A token's bytes as text that can be seen: what is no valid UTF-8 as \xNN, no bytes at all as ∅.
function visibleBytes(bytes, start = 0, end = bytes.length, spaces = true) {
  let out = "";
  for (let i = start; i < end; ) {
    const size = sequence(bytes, i, end);
    if (!size) {
      out += `\\x${hex(bytes[i], 2).toLowerCase()}`;
      i += 1;
      continue;
    }
    let cp = size === 1 ? bytes[i] : bytes[i] & (0x7f >> size);
    for (let k = 1; k < size; k++) cp = (cp << 6) | (bytes[i + k] & 0x3f);
    out += seen(cp, spaces);
    i += size;
  }
  return out || "∅";
}

// The same of at most `most` bytes, cut at a whole character, with the number of those that are left out.
function clippedBytes(bytes, start, end, most) {
  if (end - start <= most) return visibleBytes(bytes, start, end);
  let cut = start + most;
  for (let k = 0; k < 3 && (bytes[cut] & 0xc0) === 0x80; k++) cut--;
  return `${visibleBytes(bytes, start, cut)}… +${count(end - cut)} bytes`;
}

const bytesWords = (bytes, start, end) =>
  start === end ? "none" : Array.from(bytes.subarray(start, Math.min(end, start + 24)), (b) => hex(b, 2)).join(" ") + (end - start > 24 ? " …" : "");

// A probability for people: 83.1 %, 0.02 %, 3e-6.
function percent(p) {
  if (!(p === p)) return "–";
  if (p >= 0.01) return `${(p * 100).toFixed(1)} %`;
  return p >= 0.001 ? `${(p * 100).toFixed(2)} %` : p.toExponential(0);
}

const count = (n) => n.toLocaleString("en-US");
