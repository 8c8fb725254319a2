"use strict";
// One panel: lines over rounds. A line has its own colour, dash and mark, so that colour alone tells nothing.
// The plot is a slider over the rounds: pointer or arrow keys say the values of one.

const WIDE = 380, HIGH = 230, LEFT = 46, RIGHT = 10, TOP = 10, BOTTOM = 30;
const DASHES = ["", "6 2", "4 1.5 1 1.5", "2 1.5", "8 2 2 2", "1 1"];
const MARKS = [
  (x, y, r) => svg("circle", { cx: x, cy: y, r }),
  (x, y, r) => svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r }),
  (x, y, r) => svg("path", { d: `M${x} ${y - 1.3 * r}l${1.3 * r} ${1.3 * r}l${-1.3 * r} ${1.3 * r}l${-1.3 * r} ${-1.3 * r}z` }),
  (x, y, r) => svg("path", { d: `M${x} ${y - 1.2 * r}l${1.2 * r} ${2.2 * r}h${-2.4 * r}z` }),
  (x, y, r) => svg("path", { d: `M${x} ${y + 1.2 * r}l${1.2 * r} ${-2.2 * r}h${-2.4 * r}z` }),
  (x, y, r) => svg("path", { d: `M${x - r} ${y}h${2 * r}M${x} ${y - r}v${2 * r}`, class: "cross" }),
];
const COLOURS = 6;
const cursors = new Map(); // panel title -> round, kept while the page is drawn again

/** Steps of 1, 2 or 5 that divide a range into at most `most` parts. */
function ticks(low, high, most, whole = false) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place += 1) {
    found.push(place * step);
  }
  return { step, found };
}

function range(values) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const middle = (low + high) / 2;
  // A constant, whose last digits are nobody's business.
  if (high - low < 1e-3 * Math.abs(middle) || high === low) {
    const half = 0.01 * Math.abs(middle) || 1;
    [low, high] = [middle - half, middle + half];
  }
  const room = 0.06 * (high - low);
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
}

/** `{title, lines: [{name, place, points, band, weak}]}` as a figure. */
function chart(panel) {
  const lines = panel.lines.map((line) => ({ ...line, points: line.points.filter(([, value]) => value !== null) }))
    .filter((line) => line.points.length);
  if (!lines.length) return null;
  const rounds = [...new Set(lines.flatMap((line) => line.points.map(([round]) => round)))].sort((a, b) => a - b);
  const [first, last] = [rounds[0], rounds[rounds.length - 1]];
  const [from, to] = first === last ? [first - 1, last + 1] : [first, last];
  const [low, high] = range(lines.flatMap((line) => [
    ...line.points.map(([, value]) => value), ...(line.band ?? []).flatMap(([, a, b]) => [a, b])]));
  const x = (round) => LEFT + ((round - from) / (to - from)) * (WIDE - LEFT - RIGHT);
  const y = (value) => HIGH - BOTTOM - ((value - low) / (high - low)) * (HIGH - TOP - BOTTOM);

  const steps = ticks(low, high, 5);
  const digits = Math.max(0, -Math.floor(Math.log10(steps.step) + 1e-9));
  const shown = (value) => (Math.abs(value) >= 1e5 || digits > 5 ? value.toExponential(1) : value.toFixed(digits));
  const drawing = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true" },
    steps.found.map((value) => [
      svg("line", { class: "grid", x1: LEFT, x2: WIDE - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end" }, shown(value))]),
    ticks(from, to, 6, true).found.map((round) =>
      svg("text", { x: x(round), y: HIGH - BOTTOM + 15, "text-anchor": "middle" }, String(round))),
    svg("text", { class: "unit", x: WIDE - RIGHT, y: HIGH - 3, "text-anchor": "end" }, "round"),
    svg("line", { class: "axis", x1: LEFT, x2: WIDE - RIGHT, y1: HIGH - BOTTOM, y2: HIGH - BOTTOM }),
    lines.map((line) => band(line, x, y)),
    lines.map((line) => curve(line, x, y)));
  const at = svg("line", { class: "cursor", y1: TOP, y2: HIGH - BOTTOM });
  drawing.append(at);

  const whole = lines.every((line) => line.points.every(([, value]) => Number.isInteger(value)));
  const readout = el("p", { class: "readout" });
  const plot = el("div", {
    class: "plot", role: "slider", tabindex: "0", "data-key": `plot ${panel.title}`,
    "aria-label": `${panel.title}: round`, "aria-valuemin": first, "aria-valuemax": last,
  }, drawing);
  const go = (round) => {
    cursors.set(panel.title, round);
    at.setAttribute("x1", x(round));
    at.setAttribute("x2", x(round));
    const values = lines.flatMap((line) => {
      const found = line.points.find(([one]) => one === round);
      return found ? [[line.name, text(found[1], whole)]] : [];
    });
    readout.replaceChildren(`round ${round}: `, ...values.flatMap(([name, value], place) =>
      [place ? ", " : "", ...symbols(name ? `${name} ` : ""), el("b", null, value)]));
    plot.setAttribute("aria-valuenow", round);
    plot.setAttribute("aria-valuetext", readout.textContent);
  };
  const kept = cursors.get(panel.title);
  // The newest round, unless the reader looks at another one.
  const follow = () => { go(last); cursors.delete(panel.title); };
  if (rounds.includes(kept)) go(kept); else follow();
  plot.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const wanted = from + ((event.clientX - box.left) / box.width * WIDE - LEFT) / (WIDE - LEFT - RIGHT) * (to - from);
    go(rounds.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a)));
  });
  plot.addEventListener("pointerleave", follow);
  plot.addEventListener("keydown", (event) => {
    const here = rounds.indexOf(Number(plot.getAttribute("aria-valuenow")));
    const there = { ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1,
      Home: 0, End: rounds.length - 1 }[event.key];
    if (there === undefined) return;
    event.preventDefault();
    go(rounds[Math.min(Math.max(there, 0), rounds.length - 1)]);
  });
  return el("figure", { class: "panel" }, el("figcaption", null, symbols(panel.title)), plot, readout);
}

function text(value, whole) {
  if (whole) return String(value);
  const size = Math.abs(value);
  return size >= 0.01 ? value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 4) : value.toExponential(2);
}

function band(line, x, y) {
  const parts = (line.band ?? []).filter(([, low, high]) => low !== null && high !== null);
  if (!parts.some(([, low, high]) => high > low)) return null;
  const there = parts.map(([round, , high]) => `${x(round)},${y(high)}`);
  const back = parts.map(([round, low]) => `${x(round)},${y(low)}`).reverse();
  return svg("polygon", { class: `band c${line.place % COLOURS}`, points: [...there, ...back].join(" ") });
}

function curve(line, x, y) {
  const { place } = line;
  const size = line.points.length > 12 ? 1.8 : 3;
  const weak = new Set(line.weak ?? []);
  return svg("g", { class: `line c${place % COLOURS}${line.faint ? " faint" : ""}` },
    svg("polyline", {
      points: line.points.map(([round, value]) => `${x(round)},${y(value)}`).join(" "),
      "stroke-dasharray": dash(place),
    }),
    line.faint ? null : line.points.map(([round, value]) => {
      const mark = MARKS[place % MARKS.length](x(round), y(value), size);
      if (weak.has(round)) mark.classList.add("hollow");
      return mark;
    }));
}

// One step further on each time the colours begin again, so that no two lines look alike.
const dash = (place) => DASHES[(place + Math.floor(place / MARKS.length)) % DASHES.length] || null;

/** What the lines are, with a piece of each. */
function legend(names) {
  return el("ul", { class: "legend" }, names.map(([name, place]) => el("li", null,
    svg("svg", { viewBox: "0 0 34 12", "aria-hidden": "true" },
      svg("g", { class: `line c${place % COLOURS}` },
        svg("polyline", { points: "1,6 33,6", "stroke-dasharray": dash(place) }),
        MARKS[place % MARKS.length](17, 6, 3.2))),
    symbols(name))));
}
