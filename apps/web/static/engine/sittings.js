// One person before the camera, or their photographs: a login or an enrolment, look by look. What the page calls a
// session.

import { Enrol, Photos, propose } from "./enrol.js";
import { Fault } from "./fault.js";
import { LiveLogin } from "./live_login.js";
import { FAILURES } from "./lockout.js";
import { Login } from "./login.js";

export class LoginSitting {
  constructor(backend, claim, frames = backend.settings.login.frames) {
    this.backend = backend;
    this.onlost = null;
    this.over = false;
    const { point, login } = backend.settings;
    const given = { people: backend.known, claim: claim || undefined, point, frames };
    const { challenge } = login;
    this.login = challenge === null ? new Login(given) : new LiveLogin({ ...given, settings: challenge });
    this.pending = Promise.resolve();
    this.until = performance.now() + login.seconds * 1000;
  }

  /** @param canvas a frame, which must stay as it is until the reply */
  look(canvas, live = true) {
    this.pending = this.frame(canvas, live, performance.now());
    return this.pending;
  }

  async frame(canvas, live, now) {
    const { backend, login } = this;
    const lock = backend.locked();
    if (lock !== null) {
      // Nothing was compared, so there is no line in the log.
      this.over = true;
      const decision = login.answer({ faces: 0, quality: [] }, lock.reason);
      const nothing = backend.shown({ faces: 0, box: null, quality: [], reason: null });
      return this.reply(nothing, null, backend.verdict(decision));
    }
    const options = { live, several: "central", gate: backend.settings.login.gate };
    let seen = await backend.look(login.challenge ? "find" : "see", canvas, options);
    if (login.challenge) {
      const found = seen;
      seen = await login.follow(found, now / 1000, () => backend.look("examine", canvas, { ...options, found }));
    } else {
      login.look(seen);
    }
    if (login.decision === null && performance.now() > this.until) return this.end();
    return this.reply(backend.shown(seen), login.step, login.decision === null ? null : await this.decided());
  }

  /** No more looks will come: the reply with the decision from what was seen. */
  async end() {
    this.login.giveUp();
    const { faces } = this.login.decision;
    return this.reply({ faces, box: null, advice: [], enrol: null }, null, await this.decided());
  }

  async decided() {
    this.over = true;
    return this.backend.verdict(await this.backend.decide(this.login.decision));
  }

  reply(shown, challenge, verdict) {
    return { ...shown, login: { challenge, verdict } };
  }

  /** However it ends, a face that was compared in vain counts, and so does a challenge that was begun. */
  close() {
    this.pending.catch(() => {}).then(() => this.leave()).catch(() => {});
  }

  async leave() {
    if (this.over) return;
    this.login.giveUp();
    if (FAILURES.has(this.login.decision.reason)) await this.decided();
  }
}

export class EnrolSitting {
  /** @param photos how many photographs will come; undefined: the camera's frames, and looks from several sides */
  constructor(backend, name, photos) {
    this.backend = backend;
    this.name = name;
    this.onlost = null;
    this.over = false;
    const { enrol } = backend.settings;
    this.live = photos === undefined;
    this.enrol = this.live ? new Enrol(enrol) : new Photos(enrol, photos);
  }

  async look(canvas) {
    const { backend, enrol } = this;
    const seen = await backend.look("see", canvas, { live: this.live, several: "refuse", gate: true });
    const { accepted, code } = enrol.look(seen, canvas.height, performance.now() / 1000);
    const [next] = backend.coded([enrol.next]);
    this.last = {
      ...backend.shown(seen),
      advice: code === null ? [] : backend.coded([code]),
      enrol: {
        taken: enrol.taken.length,
        needed: enrol.settings.looks,
        next,
        look: { accepted, code, text: enrol.done ? "" : backend.coded([code ?? enrol.next])[0].text },
        done: false,
        person: null,
        report: [],
      },
    };
    return enrol.done ? this.finish() : this.last;
  }

  /** No more photographs will come, or all looks are taken: enrol. */
  async finish() {
    if (this.over) return this.last;
    if (this.enrol.taken.length === 0) {
      throw new Fault("too_few_looks", "No look could be used, so nobody was enrolled.");
    }
    this.over = true;
    const { store, settings, known } = this.backend;
    const { vector, images, report } = propose(this.enrol.taken, settings.enrol, known, settings.point.threshold);
    const { id, name } = await store.once(async () => {
      // Another tab may have been faster.
      refuseTaken(await store.people(), this.name);
      const person = await store.add(this.name, images, vector);
      await store.note("enrol", person.id);
      return person;
    });
    await this.backend.refresh();
    const done = { done: true, person: { id, name }, report };
    this.last = { ...this.last, enrol: { ...this.last.enrol, ...done } };
    return this.last;
  }

  close() {
    this.over = true;
  }
}

/** Refuse a name that somebody has. */
export function refuseTaken(people, name) {
  if (people.some((person) => person.name === name)) {
    throw new Fault("name_taken", `${name} is enrolled already; choose another name.`);
  }
}
