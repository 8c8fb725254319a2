// A login of a living head: LoginSession with liveness in Python. The face is compared at each moment in which it was
// held still, and all of these must be recognised as the same person.

import { Challenge, randomOrder } from "./challenge.js";
import { Login, allOf } from "./login.js";

export class LiveLogin extends Login {
  /** @param settings what the server says of the challenge: {orders, limits, hold, advice} */
  constructor({ settings, ...rest }) {
    super(rest);
    this.settings = settings;
    this.challenge = new Challenge(randomOrder(settings.orders), settings.limits);
  }

  /**
   * Take in a frame.
   *
   * @param found what was found in it, see Engine.find
   * @param at seconds on a clock that never goes back
   * @param examine () → Promise of the look at its face, see Engine.examine
   * @returns the look: as `found`, or with what was examined
   */
  async follow(found, at, examine) {
    this.faces = Math.max(this.faces, found.faces);
    const before = this.challenge.status;
    const now = this.challenge.see(at, found.box === null ? null : found);
    if (this.isOver(found)) return found;
    if (now.state === "failed") {
      this.decision = this.notLive();
      return found;
    }
    if (found.box === null || !wasStill(before, now)) return found;
    const seen = await examine();
    this.compared.push(seen.embedding === null ? this.answer(seen, seen.reason) : this.compare(seen));
    if (now.state === "done") this.decision = { ...allOf(this.compared), faces: this.faces };
    return seen;
  }

  giveUp() {
    if (this.decision === null && this.challenge.started) this.decision = this.notLive();
    else super.giveUp();
  }

  notLive() {
    return this.answer({ faces: this.faces, quality: [] }, "not_live");
  }

  /** What the person should do now, {step, steps, code, text}. */
  get step() {
    const { state, move, done, fault } = this.challenge.status, { hold, advice } = this.settings;
    const steps = this.challenge.order.length, code = fault ?? move ?? hold;
    return { step: Math.min(done + 1, steps), steps, code, text: state === "done" ? "" : advice[code] };
  }
}

/** The head was held still up to this frame: a move is asked for now, or it was the last. */
function wasStill(before, now) {
  return now.state === "done" || (before.move === null && now.move !== null);
}
