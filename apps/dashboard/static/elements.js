"use strict";
// Building the page: every text goes in as text, so that a name can never be markup.

/** An element. `props`: attributes; `on…` are listeners, `false` and `null` leave one out. */
function el(name, props, ...children) {
  return fill(document.createElement(name), props, children);
}

/** The same for a drawing. */
function svg(name, props, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), props, children);
}

function fill(element, props, children) {
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A text with the paper's subscripts: `Θ_g` with a small g. */
function symbols(text) {
  const parts = String(text).split(/([ΘΠΦ])_(\w)/);
  return parts.map((part, place) => (place % 3 === 2 ? el("sub", null, part) : part));
}

/** A table that scrolls by itself on a narrow screen. Cells are texts or nodes. */
function table({ title, header, rows, notes = [] }, { caption = false, left = 1 } = {}) {
  const cell = (value, place) => {
    const content = typeof value === "string" ? symbols(value) : value;
    const kind = place > 0 && place < left ? "left" : null;
    return place === 0 ? el("th", { scope: "row" }, content) : el("td", { class: kind }, content);
  };
  return [
    el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": title },
      el("table", null,
        caption ? el("caption", null, symbols(title)) : null,
        el("thead", null, el("tr", null, header.map((text, place) =>
          el("th", { scope: "col", class: place > 0 && place < left ? "left" : null }, symbols(text))))),
        el("tbody", null, rows.map((row) => el("tr", null, row.map(cell)))))),
    notes.map((note) => el("p", { class: "note" }, symbols(note))),
  ];
}

/** Something behind a line to open it; stays open when the page is drawn again. */
function folded(key, title, ...content) {
  return el("details", { "data-key": key, open: folded.open.has(key), ontoggle(event) {
    if (event.target.open) folded.open.add(key); else folded.open.delete(key);
  } }, el("summary", null, symbols(title)), ...content);
}
folded.open = new Set();

const DASH = "–";
const number = (value, digits = 4) => (value === null || value === undefined ? DASH : value.toFixed(digits));
const percent = (value) => (value === null || value === undefined ? DASH : (100 * value).toFixed(2));

/** Bytes in the unit that they fill (powers of ten). */
function bytes(value) {
  if (value === null || value === undefined) return DASH;
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (value >= size) return `${(value / size).toFixed(2)} ${unit}`;
  }
  return `${value} B`;
}

/** Seconds as one would say them. */
function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`;
}

/** A moment (seconds since 1970) on the reader's clock; `timeStyle` "short" leaves the seconds out. */
function moment(seconds, timeStyle = "medium") {
  return new Date(1000 * seconds).toLocaleString("sv", { dateStyle: "short", timeStyle });
}
