// Guided enrolment: fedfr_edge.recognition.guided in the browser. Poses, limits and words come from Python.

import { outliers, repeats } from "./likeness.js";
import { turnOf } from "./quality.js";
import { cosine, mean } from "./template.js";

export class Enrol {
  /** @param settings what the server says of enrolment: {looks, poses, limits, outlier, repeat, least_size} */
  constructor(settings) {
    this.settings = settings;
    this.taken = [];
    this.asked = -1;
    this.since = null;
    // Of the first look: its turn, the height of its face and of its frame, the side of its crop.
    this.first = null;
    this.next = settings.poses[0];
    this.askNext(null);
  }

  get done() {
    return this.taken.length >= this.settings.looks;
  }

  /**
   * Take in a look, see Engine.see.
   *
   * @param height of the frame
   * @param at seconds on a clock that never goes back
   * @returns {accepted, code}: code says why it was refused; null where it was taken, or does not (yet) show what was
   *     asked for
   */
  look(seen, height, at) {
    if (this.done) return { accepted: false, code: null };
    this.since ??= at;
    const code = fault(seen) ?? (this.isAsked(seen) ? this.misfit(seen.embedding) : "");
    if (code !== null) {
      if (this.first !== null && at - this.since > this.settings.limits.patience) this.askNext(at);
      return { accepted: false, code: code || null };
    }
    this.taken.push({ label: `look ${this.taken.length + 1} (${this.next})`, embedding: seen.embedding });
    this.first ??= { turn: turnOf(seen.landmarks), tall: tall(seen), height, crop: seen.measured.size };
    this.askNext(at);
    return { accepted: true, code: null };
  }

  /** Whether a face does what was asked for. */
  isAsked({ landmarks, box }) {
    const { front, turn, nearer } = this.settings.limits;
    if (this.first === null) return Math.abs(turnOf(landmarks)) <= front;
    const change = turnOf(landmarks) - this.first.turn, growth = tall({ box }) / this.first.tall;
    if (this.next === "turn_left") return change >= turn; // the person's left is the picture's right
    if (this.next === "turn_right") return change <= -turn;
    if (Math.abs(change) > front) return false;
    if (this.next === "closer") return growth >= nearer;
    return this.next === "front" || growth <= 1 / nearer;
  }

  /** Why a good face is not taken all the same. */
  misfit(embedding) {
    if (this.taken.length === 0) return null;
    const { outlier, repeat } = this.settings;
    const before = this.taken.map((look) => look.embedding);
    if (outlier !== null && cosine(mean(before), embedding) < outlier) return "not_the_same_person";
    return cosine(before[before.length - 1], embedding) >= repeat ? "too_like_the_last" : null;
  }

  askNext(at) {
    const { poses } = this.settings;
    this.since = at;
    do {
      this.asked = (this.asked + 1) % poses.length;
      this.next = poses[this.asked];
    } while (!this.canBeAsked(this.next));
  }

  canBeAsked(pose) {
    const { limits, least_size } = this.settings;
    if (this.first === null) return pose === "front";
    if (pose === "closer") return this.first.tall * limits.nearer <= limits.widest * this.first.height;
    return pose !== "farther" || this.first.crop / limits.nearer >= least_size;
  }
}

/** Photographs instead of frames: nothing is asked for, each is judged by itself. */
export class Photos {
  done = false;
  next = "front";

  /** @param looks how many will come */
  constructor(settings, looks) {
    this.settings = { ...settings, looks };
    this.taken = [];
    this.seen = 0;
  }

  look(seen) {
    this.seen++;
    const code = fault(seen);
    if (code === null) this.taken.push({ label: `photo ${this.seen}`, embedding: seen.embedding });
    return { accepted: code === null, code };
  }
}

/**
 * The template of looks; see propose in Python.
 *
 * @param taken [{label, embedding}], at least one
 * @param people those enrolled, {name, vector}
 * @param threshold of a login, for remarks
 * @returns {vector, images, report: [text]}
 */
export function propose(taken, { outlier, repeat }, people, threshold) {
  const report = [];
  let kept = taken;
  const vectors = () => kept.map((look) => look.embedding);
  const drop = (rows, tell) => {
    for (const found of rows) report.push(`${capital(kept[found.row].label)} ${tell(found)}.`);
    kept = kept.filter((_, row) => !rows.some((found) => found.row === row));
  };
  drop(repeats(vectors(), repeat), ({ other, score }) => {
    return `is ${taken[other].label} again (cosine ${score.toFixed(3)}); counted once`;
  });
  if (outlier !== null) {
    drop(outliers(vectors(), outlier), ({ score }) => `is unlike the others (cosine ${score.toFixed(3)}); left out`);
  }
  const vector = mean(vectors());
  for (const person of people) {
    const highest = Math.max(...vectors().map((embedding) => cosine(person.vector, embedding)));
    if (Math.max(highest, cosine(person.vector, vector)) < threshold) continue;
    report.push(`Hard to tell from ${person.name}, who is enrolled (highest score ${highest.toFixed(3)}).`);
  }
  return { vector, images: kept.length, report };
}

/** Why a look's face cannot be used, the first of several reasons; null where it can. */
function fault({ quality, reason }) {
  return quality[0] ?? reason;
}

function tall({ box: [, top, , bottom] }) {
  // A head that turns gets narrower, not lower.
  return Math.max(bottom - top, 1e-6);
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
