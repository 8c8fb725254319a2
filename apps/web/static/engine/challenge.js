// Is a living head before the camera: fedfr_edge.recognition.challenge in the browser. What can be asked for, all
// limits and all words come from Python.

import { turnOf } from "./quality.js";

/** One of these orders, each as likely as the others, from the browser's secure generator. */
export function randomOrder(orders) {
  // Values beyond the last whole multiple are drawn again: what is left over of a division would prefer some.
  const fair = 2 ** 32 - (2 ** 32 % orders.length);
  const drawn = new Uint32Array(1);
  do crypto.getRandomValues(drawn);
  while (drawn[0] >= fair);
  return orders[drawn[0] % orders.length];
}

export class Challenge {
  /**
   * @param order the moves to ask for
   * @param limits see Limits in Python; fewest: frames that show that a head is still
   */
  constructor(order, limits) {
    this.order = order;
    this.limits = limits;
    this.done = 0;
    this.state = "running";
    this.fault = null;
    this.since = null;
    this.last = null;
    this.held = [];
    // From where a move is judged, {turn, size}; null while the head is to be held still.
    this.from = null;
    this.front = null;
  }

  /** Whether a face was seen. */
  get started() {
    return this.last !== null;
  }

  /** How it stands; move: the one asked for now, null while holding still and at the end. */
  get status() {
    const { state, done, fault } = this;
    return { state, move: state === "running" && this.from !== null ? this.order[done] : null, done, fault };
  }

  /**
   * Take in a frame.
   *
   * @param time seconds on a clock that never goes back
   * @param face {box, landmarks}, or null
   */
  see(time, face) {
    const { last, limits } = this;
    if (this.state !== "running") return this.status;
    this.since ??= time;
    if (!(time >= (last?.time ?? this.since))) throw new RangeError(`a frame of ${time} s came after a later one`);
    const away = last !== null && time - last.time > limits.gap;
    if (time - this.since > limits.time) return this.fail(away && face === null ? "face_lost" : "too_slow");
    if (away) {
      // Whoever comes now may be somebody else: nothing that was held still before counts.
      this.from = null;
      this.held = [];
    }
    if (face === null) return this.status;
    const seen = measured(time, face);
    if (last !== null && !away && this.jumped(last, seen)) return this.fail("face_jumped");
    this.last = seen;
    if (this.from === null) this.hold(seen);
    else this.judge(seen);
    return this.status;
  }

  jumped(last, seen) {
    const { jump, shift, resize } = this.limits;
    const way = Math.hypot(seen.x - last.x, seen.y - last.y);
    const larger = Math.max(seen.size, last.size), smaller = Math.min(seen.size, last.size);
    return Math.abs(seen.turn - last.turn) > jump || way > shift * larger || larger > resize * smaller;
  }

  /** Wait until the head was still, and turned as at first, for long enough. */
  hold(seen) {
    const { hold, still, steady, fewest } = this.limits, { held } = this;
    held.push(seen);
    // The shortest run of frames up to now that spans the time; also where few come, not less than these.
    while (held.length > fewest && seen.time - held[1].time >= hold) held.shift();
    if (held.length < fewest || seen.time - held[0].time < hold) return;
    const turns = held.map((each) => each.turn), sizes = held.map((each) => each.size);
    const turn = median(turns);
    const isStill =
      Math.max(...turns) - Math.min(...turns) <= still && Math.max(...sizes) <= steady * Math.min(...sizes);
    if (!isStill || (this.front !== null && Math.abs(turn - this.front) > still)) return;
    this.front ??= turn;
    if (this.done === this.order.length) {
      this.state = "done";
      return;
    }
    this.from = { turn, size: median(sizes) };
    this.held = [];
  }

  /** See whether a move was made, and whether it is the one asked for. */
  judge(seen) {
    const change = seen.turn - this.from.turn, growth = seen.size / this.from.size;
    const made = {
      turn_left: change >= this.limits.turn, // the person's left is the picture's right
      turn_right: change <= -this.limits.turn,
      nearer: growth >= this.limits.nearer,
      farther: growth <= 1 / this.limits.nearer,
    };
    const asked = this.order[this.done];
    if (Object.keys(made).some((move) => made[move] && move !== asked)) {
      this.fail("wrong_move");
    } else if (made[asked]) {
      this.done++;
      this.from = null;
      this.since = seen.time;
    }
  }

  fail(fault) {
    this.state = "failed";
    this.fault = fault;
    return this.status;
  }
}

function measured(time, { box: [left, top, right, bottom], landmarks }) {
  // A head that turns gets narrower, not lower.
  const size = Math.max(bottom - top, 1e-6);
  return { time, turn: turnOf(landmarks), size, x: (left + right) / 2, y: (top + bottom) / 2 };
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
