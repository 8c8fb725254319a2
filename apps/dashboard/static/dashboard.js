"use strict";
// What is shown, and keeping it up to date: data.js holds everything, or says that a server is to be asked.

const EVERY = 2000, PATIENCE = 10000;
const MOST = 12; // runs side by side; more lines than that nobody tells apart
const byId = (id) => document.getElementById(id);
const details = new Map(); // run id -> all about it, with the tag that it has
let runs = [];
let tag = ""; // of all of them, as they were last told
let chosen = location.hash.slice(1).split(",").filter(Boolean);
let client = "";
let silentSince = null;
let drawn = "";

function choose(id, on) {
  const now = shownRuns().map((run) => run.id); // also where nobody chose anything yet
  chosen = on ? [...now, id].slice(-MOST) : now.filter((one) => one !== id);
  history.replaceState(null, "", chosen.length ? `#${chosen.join(",")}` : "#");
  update();
}

/** Those that the reader chose; else all of a few, or the one that changed last. */
function shownRuns() {
  const found = runs.filter((run) => chosen.includes(run.id));
  if (found.length) return found;
  if (runs.length <= 4) return runs;
  return [runs.reduce((a, b) => ((b.changed ?? 0) > (a.changed ?? 0) ? b : a))];
}

/** Draw anew what changed, leaving focus, open parts and places of scrolling as they are. */
function draw() {
  const shown = shownRuns().map((run) => ({ ...run, ...details.get(run.id) }));
  const now = JSON.stringify([runs.map((run) => run.tag), shown.map((run) => [run.tag, Boolean(run.settings)]), client]);
  if (now === drawn) return;
  drawn = now;
  const focus = document.activeElement?.closest?.("[data-key]")?.dataset.key;
  const places = [...document.querySelectorAll(".scroll")].map((box) => [box.getAttribute("aria-label"), box.scrollLeft]);
  byId("list").replaceChildren(...flat(runList(runs, shown.map((run) => run.id), choose)));
  byId("shown").replaceChildren(...flat(shown.length === 1
    ? oneRun(shown[0], client, (name) => { client = name; draw(); })
    : sideBySide(shown)));
  document.title = shown.length === 1 ? `${shown[0].name}: ${shown[0].state}` : `${shown.length} training runs`;
  for (const [label, left] of places) {
    const box = left && document.querySelector(`.scroll[aria-label="${CSS.escape(label)}"]`);
    if (box) box.scrollLeft = left;
  }
  if (focus) document.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
}

const flat = (parts) => [parts].flat(Infinity).filter(Boolean);

/** Tell what happened to runs since the last look, for those who do not see it. */
function tell(before, now) {
  const said = now.filter((run) => before.some((old) => old.id === run.id && old.state !== run.state))
    .map((run) => `${run.name}: ${STATES[run.state].slice(2)}`);
  if (said.length) byId("said").textContent = said.join(". ");
}

async function ask(path) {
  const reply = await fetch(path, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store" });
  if (!reply.ok) throw new Error(`status ${reply.status}`);
  return reply.json();
}

async function update() {
  if (!window.fedfr.live) return draw();
  try {
    const found = await ask(`api/runs?tag=${tag}`);
    if (found.runs) {
      tell(runs, found.runs);
      ({ runs, tag } = found);
    }
    for (const run of shownRuns()) {
      if (details.get(run.id)?.tag !== run.tag) details.set(run.id, await ask(`api/runs/${run.id}`));
    }
    silentSince = null;
    link("live", `live, as of ${moment(found.now)}`);
  } catch (error) {
    if (silentSince === null) {
      silentSince = Date.now() / 1000;
      byId("said").textContent = "the dashboard's server does not answer";
    }
    link("lost", `no answer from the dashboard's server since ${moment(silentSince)}; what is shown is older. Trying again.`);
  }
  draw();
}

function link(kind, text) {
  byId("link").className = kind;
  document.documentElement.dataset.mode = kind;
  byId("link-text").textContent = text;
}

async function follow() {
  const began = performance.now();
  if (!document.hidden) await update();
  // With hundreds of runs a look costs the server something: it is to be idle most of the time.
  setTimeout(follow, Math.min(PATIENCE, Math.max(EVERY, 20 * (performance.now() - began))));
}

addEventListener("hashchange", () => {
  if (location.hash === "#shown") return;
  chosen = location.hash.slice(1).split(",").filter(Boolean);
  update();
});

if (window.fedfr.live) {
  follow();
  document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
} else {
  ({ runs } = window.fedfr);
  for (const [id, all] of Object.entries(window.fedfr.details)) details.set(id, all);
  link("still", `as it was on ${moment(window.fedfr.now)} (${window.fedfr.by})`);
  draw();
}
