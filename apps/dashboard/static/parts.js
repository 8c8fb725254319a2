"use strict";
// The parts of the page: the list of runs, one run, several side by side.

const STATES = {
  running: "● running", retrying: "↻ tried again", stopped: "■ stopped", finished: "✓ finished",
  gone: "∅ gone", unreadable: "! unreadable",
};
const HOW = "Lines: means over the clients, weighted by images. Hollow marks: the threshold rests on fewer than ten false accepts.";
const badge = (run) => el("span", { class: `badge ${run.state}`, title: run.text }, STATES[run.state] ?? run.state);
const entries = (object) => Object.entries(object ?? {});

/** The list of runs; `chosen`: ids, `choose(id, on)`: a box was ticked. */
function runList(runs, chosen, choose) {
  const scored = (run, place) => {
    const [name, scores] = entries(run.scores).at(place) ?? [];
    return name && (place === 0 || entries(run.scores).length > 1) ? percent(scores.last.value) : DASH;
  };
  const several = runs.length > 1;
  return table({
    title: "Runs",
    header: ["run", "state", "rounds", "method", "clients", "loss", "Θ_g, %", "personal, %", "up", "down",
      "failures", "last change"],
    rows: runs.map((run) => [
      several
        ? el("label", { class: "pick" }, el("input", {
          type: "checkbox", "data-key": `pick ${run.id}`, checked: chosen.includes(run.id),
          onchange: (event) => choose(run.id, event.target.checked),
        }), el("span", { title: run.path }, run.name))
        : el("span", { title: run.path }, run.name),
      badge(run),
      progress(run),
      run.method ?? DASH,
      run.clients ? String(run.clients.length) : DASH,
      number(run.last?.loss),
      scored(run, 0),
      scored(run, -1),
      bytes(run.traffic?.bytes_up),
      bytes(run.traffic?.bytes_down),
      run.failures === undefined ? DASH : String(run.failures),
      run.changed === undefined ? DASH : moment(run.changed, "short"),
    ]),
    notes: runs.some((run) => entries(run.scores).length)
      ? ["Scores: after the last scored round, TAR at the strictest false-accept rate that the run's trials support."]
      : [],
  }, { left: 2 });
}

function progress(run) {
  if (run.done === undefined) return DASH;
  if (!run.rounds) return String(run.done);
  const label = `${run.done} of ${run.rounds} rounds`;
  return el("span", { class: "far" },
    el("progress", { value: run.done, max: run.rounds, "aria-label": label }), `${run.done}/${run.rounds}`);
}

/** Everything about one run; `client`: whose curves are drawn, "" for the mean and the range, "*" for all. */
function oneRun(run, client, pick) {
  const parts = [el("h2", null, run.name), status(run)];
  if (!run.panels) return parts;
  parts.push(tiles(run));
  if (run.privacy) parts.push(el("p", { class: "note" }, run.privacy));
  const panels = run.panels.map((panel) => forClients(panel, run, client)).map(chart).filter(Boolean);
  const names = legendNames(run);
  parts.push(el("section", { "aria-label": "Curves" },
    el("h3", null, "Curves"),
    panels.length ? clientPicker(run, client, pick) : el("p", null, "No round is done yet; the first one draws the first points."),
    names.length > 1 ? legend(names) : null,
    el("div", { class: "panels" }, panels),
    panels.length ? el("p", { class: "note" },
      `${HOW} Bands: lowest to highest client.`) : null));
  parts.push(clients(run), failures(run), more(run));
  return parts;
}

function status(run) {
  return el("p", { class: "state" }, badge(run), " ", el("span", null, run.text),
    run.left ? ` · about ${duration(run.left)} left` : "");
}

function withUnit(value) {
  const [figure, unit] = value.split(" ");
  return unit ? [figure, el("small", null, `\u00a0${unit}`)] : [figure];
}

function tiles(run) {
  const tile = (place, who, value, ...more) => el("div", { class: `tile t${place}` },
    el("span", { class: "who" }, symbols(who)), el("b", null, withUnit(value)), more.map((text) => el("span", null, symbols(text))));
  const found = [tile(5, "rounds", run.rounds ? `${run.done}/${run.rounds}` : String(run.done),
    `${run.clients.length} clients`, run.last ? `${duration(run.last.seconds)} the last one` : "")];
  entries(run.scores).forEach(([name, scores], place) => {
    const what = run.far === null ? "rank 1" : `TAR at FAR ${run.far_text}`;
    found.push(tile(place, name, `${percent(scores.last.value)} %`, `${what}, round ${scores.last.round}`,
      `best ${percent(scores.best.value)} % in round ${scores.best.round}`));
  });
  if (run.last?.loss !== undefined) {
    found.push(tile(3, "loss", number(run.last.loss), `lowest ${number(run.lowest_loss.value)} in round ${run.lowest_loss.round}`));
  }
  if (run.traffic) {
    found.push(tile(4, "traffic", bytes(run.traffic.bytes_up + run.traffic.bytes_down),
      `${bytes(run.traffic.bytes_up)} up`, `${bytes(run.traffic.bytes_down)} down`));
  }
  found.push(tile(2, "failures", String(run.failures), run.failures ? "see below" : "every client counted"));
  return el("div", { class: "tiles" }, found);
}

function legendNames(run) {
  const names = new Map();
  for (const panel of run.panels) {
    for (const line of panel.lines) if (line.name && !line.again && !panel.title.startsWith("traffic")) names.set(line.name, line.place);
  }
  return [...names];
}

/** A panel with the curves of one client or of all, where the run tells them. */
function forClients(panel, run, client) {
  const lines = panel.lines.filter((line) => !line.again);
  const each = run.each[panel.title];
  if (!client || !each) return { ...panel, lines };
  return { ...panel, lines: lines.flatMap((line) => {
    const own = entries(each[line.name]).filter(([name]) => client === "*" || name === client);
    const curves = own.map(([name, points]) => ({
      name: line.name ? `${line.name} of ${name}` : name, place: line.place, points, faint: client === "*",
    }));
    return client === "*" ? [...curves, { ...line, band: [] }] : curves;
  }) };
}

function clientPicker(run, client, pick) {
  if (!entries(run.each).length) return null;
  const option = (value, text) => el("option", { value, selected: value === client }, text);
  return el("p", null, el("label", null, "Clients: ", el("select", {
    "data-key": "client", onchange: (event) => pick(event.target.value),
  }, option("", "mean and range"), option("*", "every client"), run.clients.map((name) => option(name, name)))));
}

function clients(run) {
  if (!run.history.length) return null;
  const models = [...new Set(run.history.flatMap((row) => row.scores.map((score) => score.model)))];
  const rank = (row, model) => percent(row.scores.find((score) => score.model === model)?.rank_one);
  return el("section", { "aria-label": "Clients" }, el("h3", null, "Clients"), table({
    title: "Clients",
    header: ["client", "answered", "failed", "images", "loss", ...models.map((model) => `${model} rank 1, %`),
      "up", "down"],
    rows: run.history.map((row) => [row.client, String(row.answered), String(row.failed),
      row.images === null || row.images === undefined ? DASH : String(row.images), number(row.loss),
      ...models.map((model) => rank(row, model)), bytes(row.bytes_up || null), bytes(row.bytes_down || null)]),
  }));
}

function failures(run) {
  if (!run.failed.length) return null;
  return el("section", { "aria-label": "Failures" }, el("h3", null, "Failures"), table({
    title: "Failures", header: ["round", "client", "what happened"],
    rows: [...run.failed].reverse().map((one) => [String(one.round), one.client || "all", one.why]),
  }, { left: 3 }));
}

function more(run) {
  return el("section", { "aria-label": "More" },
    run.tables.map((one) => folded(`${one.title}`, one.title, table(one))),
    run.remarks.length ? folded("remarks", "Remarks about the scores", el("ul", null, run.remarks.map((text) => el("li", null, text)))) : null,
    folded("settings", "Settings and data",
      run.departures.length
        ? table({ title: "Settings that differ from the method's defaults", header: ["setting", "value", "default"], rows: run.departures }, { caption: true, left: 3 })
        : el("p", null, "All settings are the method's defaults."),
      table({ title: "Data, by the first digits of its content's sha256", header: ["what", "sha256", "place"], rows: run.data }, { caption: true, left: 3 }),
      el("p", { class: "note" }, `${run.backbone}, seed ${run.seed ?? DASH}, ${run.path}`)));
}

/** Runs side by side. */
function sideBySide(runs) {
  const open = runs.filter((run) => run.state !== "finished");
  const parts = [el("h2", null, `${runs.length} runs side by side`),
    el("ul", { class: "states" }, open.map((run) => el("li", null, el("b", null, run.name), " ", status(run))))];
  const readable = runs.filter((run) => run.panels);
  if (!readable.length) return parts;
  const differing = Object.keys(readable[0].traits)
    .filter((text) => new Set(readable.map((run) => run.traits[text])).size > 1);
  if (differing.length) parts.push(el("div", { class: "remarks", role: "note" }, differing.map((text) => el("p", null, `! ${text}`))));
  parts.push(el("section", { "aria-label": "Curves" }, el("h3", null, "Curves"),
    legend(readable.map((run, place) => [run.name, place])),
    panels(shared(readable)),
    el("p", { class: "note" }, HOW)));
  parts.push(best(readable), settings(readable));
  return parts;
}

/** Those that say most; the others behind a line: terms of the loss, other rates, other models. */
function panels(all) {
  const grid = (some) => el("div", { class: "panels" }, some.map(chart).filter(Boolean));
  const others = all.filter((panel) => !panel.main);
  return [grid(all.filter((panel) => panel.main)), others.length ? folded("curves", "More curves", grid(others)) : null];
}

/** The panels of several runs, one line for each run. */
function shared(runs) {
  const panels = new Map();
  runs.forEach((run, place) => {
    for (const panel of run.panels) {
      for (const line of panel.lines) {
        const title = line.name ? `${line.name}: ${panel.title}` : panel.title;
        if (!panels.has(title)) panels.set(title, { title, lines: [], main: false });
        panels.get(title).main ||= line.main;
        panels.get(title).lines.push({ name: run.name, place, points: line.points, weak: line.weak });
      }
    }
  });
  return [...panels.values()];
}

function best(runs) {
  const models = [...new Set(runs.flatMap((run) => Object.keys(run.scores)))];
  const cell = (found, show) => (found ? `${show(found.value)} @ ${found.round}` : DASH);
  return el("section", { "aria-label": "Best rounds" }, el("h3", null, "Best rounds"), table({
    title: "Best rounds, value @ round",
    header: ["run", "lowest loss", "FAR", ...models.map((model) => `${model}, %`), "up", "down", "failures"],
    rows: runs.map((run) => [run.name, cell(run.lowest_loss, number), run.far_text ?? DASH,
      ...models.map((model) => cell(run.scores[model]?.best, percent)),
      bytes(run.traffic?.bytes_up), bytes(run.traffic?.bytes_down), String(run.failures)]),
  }));
}

function settings(runs) {
  const keys = [...new Set(runs.flatMap((run) => Object.keys(run.settings)))];
  const rows = keys.map((key) => [key, ...runs.map((run) => run.settings[key] ?? DASH)])
    .filter((row) => new Set(row.slice(1)).size > 1);
  return el("section", { "aria-label": "Settings" }, el("h3", null, "Settings"), rows.length
    ? table({ title: "Settings and data that differ", header: ["setting", ...runs.map((run) => run.name)], rows }, { left: runs.length + 1 })
    : el("p", null, "All settings and all data are the same."));
}
