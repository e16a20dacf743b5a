// Elements. Text only ever goes in as text nodes: nothing that a model or a template wrote is read as markup.

function h(tag, props = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "text") el.textContent = value;
    else if (name === "class") el.className = value;
    else if (name === "value") el.value = value;
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return el;
}

const px = (n) => `${Math.round(n)}px`;

// Draws a long row of pieces chunk by chunk: only those near the visible part are in the page.
class Chunks {
  // `box` scrolls; `fill(chunk)` gives a fragment of chunk's content.
  constructor(box, fill) {
    this.box = box;
    this.fill = fill;
    this.chunks = [];
    [this.top, this.width, this.height] = [0, 0, 0]; // known without asking: to ask in the middle of changes costs a layout
    this.watch = new IntersectionObserver((seen) => seen.forEach((e) => this.near(e)), { root: box, rootMargin: "500px 0px" });
    this.sized = new ResizeObserver(() => ([this.width, this.height] = [box.clientWidth, box.clientHeight]));
    this.sized.observe(box);
    box.addEventListener("scroll", () => (this.top = box.scrollTop), { passive: true });
  }

  // `chunks`: objects with `weight` (characters or so, for a first guess of their height).
  show(chunks) {
    const top = this.top;
    this.watch.disconnect();
    this.chunks = chunks;
    if (!this.width) [this.width, this.height] = [this.box.clientWidth, this.box.clientHeight];
    const perLine = Math.max(20, (this.width - 24) / 8);
    let above = 0;
    for (const chunk of chunks) {
      const guess = Math.max(1, chunk.weight / perLine) * 23;
      chunk.el = h("div", { class: "wb-chunk" });
      chunk.el.chunk = chunk;
      chunk.el.style.minHeight = px(guess);
      if (above <= top + (this.height || 300) && above + guess >= top) this.draw(chunk);
      above += guess;
    }
    this.box.replaceChildren(...chunks.map((chunk) => chunk.el));
    if (top) {
      this.box.scrollTop = top;
      this.drawVisible();
    }
    chunks.forEach((chunk) => this.watch.observe(chunk.el));
  }

  drawVisible() {
    const until = this.box.scrollTop + (this.box.clientHeight || 300);
    for (const chunk of this.chunks) {
      if (chunk.el.offsetTop > until) break; // from the top of the box: it is positioned
      if (chunk.el.offsetTop + chunk.el.offsetHeight >= this.box.scrollTop) this.draw(chunk);
    }
  }

  near({ isIntersecting, target, boundingClientRect }) {
    if (isIntersecting) this.draw(target.chunk);
    else if (target.chunk.drawn) this.drop(target.chunk, boundingClientRect.height);
  }

  draw(chunk) {
    if (chunk.drawn) return;
    chunk.drawn = true;
    chunk.el.replaceChildren(this.fill(chunk));
    chunk.el.style.minHeight = "";
  }

  drop(chunk, height) {
    chunk.drawn = false;
    chunk.el.style.minHeight = px(height);
    chunk.el.replaceChildren();
  }

  // Draw again what is drawn: after a change of selection or colours.
  redraw() {
    for (const chunk of this.chunks) if (chunk.drawn) chunk.el.replaceChildren(this.fill(chunk));
  }

  // Draw `chunk` and bring the element that `find` gives into view, without moving the page around it.
  reveal(chunk, find) {
    if (!chunk) return;
    this.draw(chunk);
    const el = find(chunk.el);
    if (!el) return;
    const [a, b] = [el.getBoundingClientRect(), this.box.getBoundingClientRect()];
    if (a.top < b.top + 4) this.box.scrollTop += a.top - b.top - 40;
    else if (a.bottom > b.bottom - 4) this.box.scrollTop += a.bottom - b.bottom + 40;
    this.top = this.box.scrollTop;
  }

  close() {
    this.watch.disconnect();
    this.sized.disconnect();
  }
}

/** Enter and space press a row that is a button, as they press a real one. */
function pressed(event) {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  event.stopPropagation();
  event.currentTarget.onclick();
}

// The static copy of a live view is for readers without a kernel: while `root` is marked alive, the sheet hides the copy
// that stands behind it. Returns how to stop.
function keepCopiesHidden(root) {
  root.dataset.live = "1";
  return () => delete root.dataset.live;
}

// Sets the theme of the page around `root`, now and whenever it changes; `said(theme)` hears of it. Returns how to stop.
function followTheme(root, said = () => {}) {
  const apply = () => {
    const theme = isDark() ? "dark" : "light";
    if (root.dataset.theme === theme) return;
    root.dataset.theme = theme;
    said(theme);
  };
  const observer = new MutationObserver(apply);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  apply();
  return () => observer.disconnect();
}

function isDark() {
  const said = document.body.dataset.jpThemeLight;
  if (said) return said === "false";
  const ground = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [255, 255, 255];
  return ground.length < 4 && ground[0] * 0.3 + ground[1] * 0.59 + ground[2] * 0.11 < 110;
}
