// A long list of which only the rows near the visible part are here: it asks for others by number, and draws few.

const ROW = 24; // height of a row in pixels
const PAGE = 200; // rows that are asked for at once
const KEPT_PAGES = 40;
const MOST_ASKED = 3; // pages that are on their way at once

class RowList {
  // `ask(start, end)` asks for rows, `fill(row)` makes a row's cells, `pick(i)` is called for the row that was chosen.
  constructor(label, { ask, fill, pick }) {
    Object.assign(this, { ask, fill, pick });
    this.name = `wb-rows-${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
    this.space = h("div", { class: "wb-vocab-space" });
    this.el = h("div", { class: "wb-vocab-rows", tabindex: 0, role: "listbox", "aria-label": label }, this.space);
    this.el.addEventListener("scroll", () => this.draw(), { passive: true });
    this.el.addEventListener("click", (event) => this.clicked(event));
    this.el.addEventListener("keydown", (event) => this.key(event));
    this.size = new ResizeObserver(() => this.draw());
    this.size.observe(this.el);
    this.reset(0);
  }

  // Another list, of n rows, of which none is here.
  reset(n) {
    [this.n, this.at] = [n, -1];
    this.pages = new Map();
    this.asked = new Set();
    this.space.style.height = px(Math.max(n, 1) * ROW);
    this.el.scrollTop = 0;
    this.draw();
  }

  // Rows that were asked for, from number `start` on.
  put(start, rows) {
    this.asked.delete(start / PAGE);
    this.pages.set(start / PAGE, rows);
    const here = this.visible()[0] / PAGE;
    while (this.pages.size > KEPT_PAGES) {
      const far = [...this.pages.keys()].reduce((a, b) => (Math.abs(a - here) > Math.abs(b - here) ? a : b));
      this.pages.delete(far);
    }
    this.draw();
  }

  row(i) {
    return this.pages.get(Math.floor(i / PAGE))?.[i % PAGE];
  }

  // Numbers of the first row in sight and of the one behind the last.
  visible() {
    const first = Math.floor(this.el.scrollTop / ROW);
    return [first, Math.min(this.n, first + Math.ceil((this.el.clientHeight || 300) / ROW) + 1)];
  }

  draw() {
    const [first, end] = this.visible();
    const [from, to] = [Math.max(0, first - 10), Math.min(this.n, end + 10)];
    const rows = [];
    for (let i = from; i < to; i++) rows.push(this.line(i));
    this.space.replaceChildren(...(rows.length ? rows : [h("div", { class: "wb-quiet wb-vocab-none", text: "no tokens" })]));
    this.need(Math.floor(first / PAGE), Math.floor(Math.max(first, end - 1) / PAGE));
  }

  // What is in sight first, then the pages around it.
  need(first, last) {
    if (!this.n) return;
    for (const page of [first, last, last + 1, first - 1]) {
      if (page < 0 || page * PAGE >= this.n || this.pages.has(page) || this.asked.has(page)) continue;
      if (this.asked.size >= MOST_ASKED) return;
      this.asked.add(page);
      this.ask(page * PAGE, Math.min(this.n, (page + 1) * PAGE));
    }
  }

  line(i) {
    const row = this.row(i);
    const chosen = i === this.at;
    const el = h("div", { class: `wb-vocab-row${chosen ? " wb-vocab-on" : ""}`, id: `${this.name}-${i}`, role: "option", "aria-selected": String(chosen), "aria-posinset": i + 1, "aria-setsize": this.n }, row ? this.fill(row) : "…");
    el.style.top = px(i * ROW);
    el.i = i;
    return el;
  }

  // Mark row i (-1: none); `reveal`: bring it into view.
  mark(i, reveal) {
    this.at = i;
    if (i < 0) this.el.removeAttribute("aria-activedescendant");
    else this.el.setAttribute("aria-activedescendant", `${this.name}-${i}`);
    const [top, height] = [this.el.scrollTop, this.el.clientHeight];
    if (i >= 0 && reveal) {
      if (i * ROW < top) this.el.scrollTop = i * ROW;
      else if ((i + 1) * ROW > top + height) this.el.scrollTop = (i + 1) * ROW - height;
    }
    this.draw();
  }

  clicked(event) {
    const row = event.target.closest?.(".wb-vocab-row");
    if (!row) return;
    this.el.focus({ preventScroll: true });
    this.choose(row.i);
  }

  choose(i) {
    this.mark(i, true);
    const row = this.row(i);
    if (row) this.pick(row);
    else this.wanted = i; // picked when its rows have come
  }

  key(event) {
    if (!this.n || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.el.clientHeight / ROW) - 1);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[event.key];
    const goal = by !== undefined ? this.at + by : { Home: 0, End: this.n - 1 }[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    this.choose(Math.max(0, Math.min(this.n - 1, goal)));
  }

  close() {
    this.size.disconnect();
  }
}
