// Finding tokens: by text, id:123, bytes:e2 80, type:control. The same rules as in Python, whose tests run both.

const CONTROL_LIKE = "control-like";
// Every byte is one character of it, so a text search finds bytes. (One byte is one character in no other decoder.)
const asLetters = (bytes) => new TextDecoder("windows-1252").decode(bytes);
const lowered = (bytes) => bytes.map((b) => (b >= 0x41 && b <= 0x5a ? b + 32 : b)); // ASCII only

class TokenSearch {
  constructor(data) {
    this.data = data;
    this.n = data.ids.length;
  }

  // Ranges [[start, end), ...] in order, none twice. Throws an Error in words for what cannot be read.
  find(query) {
    const [, kind, rest] = query.match(/^(id|type|bytes|text):([^]*)$/) ?? [null, "text", query];
    if (kind === "id") return this.single(this.id(rest));
    if (kind === "type") return this.single(this.type(rest.trim()));
    if (kind === "bytes") return this.places((this.exact ??= asLetters(this.data.pieces)), asLetters(this.hex(rest)));
    return this.places((this.lower ??= asLetters(lowered(this.data.pieces))), asLetters(lowered(new TextEncoder().encode(rest))));
  }

  id(text) {
    if (!/^\d{1,9}$/.test(text.trim())) throw new Error("id: takes a number");
    const wanted = Number(text);
    return (i) => this.data.ids[i] === wanted;
  }

  type(kind) {
    if (kind === CONTROL_LIKE) return (i) => this.data.control_like[i];
    const wanted = TYPES.indexOf(kind);
    if (wanted < 0) throw new Error(`type: takes ${[...TYPES, CONTROL_LIKE].join(", ")}`);
    return (i) => this.data.types[i] === wanted;
  }

  hex(text) {
    const trimmed = text.trim();
    if (!/^([0-9a-f]{2}\s*)*$/i.test(trimmed)) throw new Error("bytes: takes pairs of hex digits");
    return Uint8Array.from(trimmed.match(/[0-9a-f]{2}/gi) ?? [], (pair) => parseInt(pair, 16));
  }

  single(matches) {
    const found = [];
    for (let i = 0; i < this.n; i++) if (matches(i)) found.push([i, i + 1]);
    return found;
  }

  // The tokens over which `wanted` stands in the joined pieces.
  places(joined, wanted) {
    const found = [];
    const ends = this.data.offsets.subarray(1);
    for (let at = wanted ? joined.indexOf(wanted) : -1; at >= 0; at = joined.indexOf(wanted, at + wanted.length)) {
      const start = lastNotBehind(ends, at) + 1;
      const end = lastNotBehind(ends, at + wanted.length - 1) + 2;
      const last = found.at(-1);
      if (!last || last[0] !== start || last[1] !== end) found.push([start, end]);
    }
    return found;
  }
}
