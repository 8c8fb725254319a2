// The answer to a login: who, let in or not, why; and what it rests on, for those who want to know.

import { $, element, hush, icon, say, words } from "./dom.js";
import { drawBox } from "./stage.js";

export function clearVerdict() {
  $("verdict").className = "verdict";
  $("verdict").replaceChildren();
  $("verdict-details").hidden = true;
  $("verdict-details").open = false;
  hush($("verdict-facts"));
  drawBox(null);
}

// Where a challenge failed, it says what to do better next time.
export function showVerdict(verdict, challenge) {
  const heading = element("strong"), why = element("span");
  const { accepted, person } = verdict;
  if (accepted && person) say(heading, "verdict.accepted", { name: person.name });
  else say(heading, accepted ? "verdict.accepted_unnamed" : "verdict.refused");
  if (!accepted) why.textContent = verdict.text;
  if (verdict.reason === "not_live" && challenge) why.append(` ${challenge.text}`);
  $("verdict").className = `verdict ${accepted ? "accepted" : "refused"}`;
  $("verdict").replaceChildren(icon(accepted ? "check" : "cross"), element("div", {}, heading, why));
  showFacts(verdict);
}

function showFacts(verdict) {
  const facts = [];
  const fact = (key, text) => facts.push(element("dt", {}, words(key)), element("dd", {}, text));
  const number = (value) => value.toFixed(3);
  // The server tells the score to its operator only: a stranger could climb by it.
  if (verdict.score !== null) fact("verdict.score", number(verdict.score));
  if (verdict.threshold !== null) fact("verdict.threshold", number(verdict.threshold));
  if (verdict.far !== null) fact("verdict.far", rate(verdict));
  if (verdict.second) {
    const { score, threshold } = verdict.second;
    fact("verdict.gate", words("verdict.gate_value", { score: number(score), threshold: number(threshold) }));
  }
  if (verdict.rests_on) fact("verdict.rests_on", verdict.rests_on);
  if (verdict.quality.length) fact("verdict.quality", verdict.quality.map(({ text }) => text).join(" "));
  fact("verdict.faces", String(verdict.faces_seen));
  fact("verdict.reason", element("code", {}, verdict.reason));
  fact("verdict.model", element("code", { title: verdict.model }, verdict.model.slice(0, 12)));
  fact("verdict.provider", element("code", {}, verdict.provider));
  $("verdict-facts").replaceChildren(...facts);
  $("verdict-details").hidden = false;
}

function rate({ far, far_supported }) {
  const text = words("verdict.far_value", { one_in: Math.round(1 / far).toLocaleString("en") });
  return far_supported === false ? words("verdict.far_unsupported", { far: text }) : text;
}
