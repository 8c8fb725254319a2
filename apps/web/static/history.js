// The log: what happened, when, to whom.

import { $, element, say, sayError } from "./dom.js";
import { TEXT } from "./text.js";

const MOST = 200;

export class History {
  constructor(app) {
    this.app = app;
  }

  async enter() {
    try {
      const entries = (await this.app.backend.log()).toSorted((a, b) => b.time - a.time).slice(0, MOST);
      $("log-list").replaceChildren(...entries.map(row));
      say($("log-status"), entries.length ? "log.count" : "log.none", { count: entries.length });
    } catch (error) {
      if (error.code === "unreachable") this.app.connection.lost(() => this.app.show("log"));
      else if (error.code === "not_operator") this.app.bar();
      else sayError($("log-status"), error);
    }
  }

  leave() {}
}

function row(entry) {
  const time = new Date(entry.time * 1000);
  const stamp = element("time", { datetime: time.toISOString() },
    time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }));
  const what = element("span"), who = element("span"), result = element("span", { class: "quiet" });
  if (`log.event.${entry.event}` in TEXT) say(what, `log.event.${entry.event}`);
  else what.textContent = entry.event;
  if (entry.name) who.append(element("bdi", { class: "name" }, entry.name));
  else if (entry.person) say(who, "log.gone");
  else if (entry.event === "login") say(who, "log.unknown");
  const about = [];
  if (entry.reason) {
    const part = element("span", { class: entry.reason === "accepted" ? "good" : "bad" });
    if (entry.reason === "accepted") say(part, "log.accepted");
    else say(part, "log.refused", { reason: entry.reason });
    about.push(part);
  }
  if (entry.score !== null && entry.score !== undefined) {
    const part = element("span");
    say(part, "log.score", { score: entry.score.toFixed(3) });
    about.push(part);
  }
  result.append(...about);
  return element("li", {}, stamp, element("div", {}, what, who), result);
}
