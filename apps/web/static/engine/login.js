// Looks in, one decision out: fedfr_edge.recognition.session and agreement in the browser.

import { cosine } from "./template.js";

export class Login {
  /**
   * @param people those enrolled, {id, name, vector}
   * @param claim name or id of whom it is said to be, or undefined
   * @param point {threshold}
   * @param frames [k, n]: of up to n usable looks, k must be recognised as the same person
   */
  constructor({ people, claim, point, frames }) {
    Object.assign(this, { people, claim, point, frames });
    this.claimed = claim === undefined ? null : find(people, claim);
    this.compared = [];
    this.unusable = null;
    this.faces = 0;
    this.decision = null;
  }

  /** Take in a look, see Engine.see; sets `decision` once there is one. */
  look(seen) {
    this.faces = Math.max(this.faces, seen.faces);
    if (this.isOver(seen)) return;
    if (seen.embedding === null) this.unusable = this.answer(seen, seen.reason);
    else {
      this.compared.push(this.compare(seen));
      const [k, n] = this.frames;
      if (isSettled(this.compared, k, n)) this.decision = this.final();
    }
  }

  /** Nobody could be let in, whatever the frames show. */
  isOver(seen) {
    if (this.people.length === 0) this.decision = this.answer(seen, "empty_gallery");
    else if (this.claim !== undefined && this.claimed === null) this.decision = this.answer(seen, "not_enrolled");
    return this.decision !== null;
  }

  /** What the person is asked to do now; null: nothing but to look at the camera. */
  get step() {
    return null;
  }

  /** The time is over, or they went away: the decision from what was seen. */
  giveUp() {
    if (this.decision !== null) return;
    if (this.compared.length > 0) this.decision = this.final();
    else this.decision = this.unusable ?? this.answer({ faces: 0, quality: [] }, "no_face");
  }

  compare(seen) {
    const among = this.claimed === null ? this.people : [this.claimed];
    const scores = among.map(({ vector }) => Math.fround(cosine(vector, seen.embedding)));
    const best = scores.indexOf(Math.max(...scores));
    const accepted = scores[best] >= this.point.threshold;
    return this.answer(seen, accepted ? "accepted" : "not_recognised", scores[best], accepted ? among[best] : null);
  }

  answer(seen, reason, score = null, person = null) {
    return { accepted: person !== null, reason, score, person, quality: seen.quality, faces: seen.faces };
  }

  final() {
    return { ...kOf(this.compared, this.frames[0]), faces: this.faces };
  }
}

/** The person of this name or id, or null. */
export function find(people, who) {
  const name = who.trim().normalize("NFC");
  return people.find((person) => person.id === who || person.name === name) ?? null;
}

/** Whether k looks agree on a person, or k of n cannot any more. */
export function isSettled(compared, k, n) {
  const most = Math.max(0, ...counts(compared).values());
  return most >= k || most + n - compared.length < k;
}

/** Accepted if k looks are recognised as the same person; the score is that of the one that decided. */
export function kOf(compared, k) {
  for (const [id, count] of counts(compared)) {
    if (count >= k) return ranked(compared.filter(({ person }) => person?.id === id))[k - 1];
  }
  const decisive = ranked(compared)[Math.min(k, compared.length) - 1];
  return decisive.accepted ? refused(decisive) : decisive;
}

/** Accepted if every look is recognised as the same person; the one that tells most against it. */
export function allOf(compared) {
  const poor = compared.filter(({ accepted }) => !accepted);
  // Somebody else in one of them is a failed attempt, however poor the others were.
  const strange = poor.filter(({ reason }) => reason === "not_recognised");
  const worst = ranked([strange, poor, compared].find(({ length }) => length > 0)).at(-1);
  return poor.length === 0 && counts(compared).size > 1 ? refused(worst) : worst;
}

function refused(decision) {
  return { ...decision, accepted: false, reason: "not_recognised", person: null };
}

function counts(compared) {
  const found = new Map();
  for (const { person } of compared) if (person !== null) found.set(person.id, (found.get(person.id) ?? 0) + 1);
  return found;
}

/** Those accepted first, each by falling score. */
function ranked(decisions) {
  return [...decisions].sort((a, b) => b.accepted - a.accepted || (b.score ?? -2) - (a.score ?? -2));
}
