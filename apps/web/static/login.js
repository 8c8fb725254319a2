// Logging in: film or photograph, what to do next, then the verdict; and the wait after too many failures.

import { Camera } from "./camera.js";
import { $, duration, say, sayError } from "./dom.js";
import { film } from "./film.js";
import { isOurs, readPhoto } from "./photo.js";
import { setStage, showHint } from "./stage.js";
import { Steady } from "./steady.js";
import { clearVerdict, showVerdict } from "./verdict.js";

export class Login {
  constructor(app) {
    this.app = app;
    this.running = null;
    this.advice = new Steady($("login-advice"));
    $("login-go").addEventListener("click", () => (this.running ? this.stop() : this.start()));
    $("login-photo").addEventListener("change", ({ target }) => {
      const [file] = target.files;
      if (file) this.photo(file);
      target.value = "";
    });
  }

  // Shown anew: as if nothing had happened.
  enter() {
    clearVerdict();
    setStage("off");
    this.advice.now("login.ready");
    this.label("login.go");
    const { liveness, locked } = this.app.backend.info;
    // A picture cannot show that somebody is alive.
    $("login-photo").parentElement.hidden = liveness;
    this.wait(locked);
  }

  leave() {
    this.running?.abort();
    this.running = null;
    clearInterval(this.countdown);
  }

  get claim() {
    return $("login-claim").value.trim() || undefined;
  }

  label(key) {
    say($("login-go"), key);
    $("login-photo").disabled = key === "login.stop";
  }

  stop() {
    this.leave();
    setStage("off");
    this.advice.now("login.stopped");
    this.steps(null);
    this.label("login.again");
  }

  start() {
    return this.attempt(async (signal) => {
      this.advice.now("login.nobody");
      const request = { kind: "login", claim: this.claim };
      const { backend } = this.app;
      const camera = new Camera($("video"));
      return film({ backend, camera, request, signal, tell: (reply) => this.tell(reply) });
    });
  }

  photo(file) {
    return this.attempt(async () => {
      const { backend } = this.app;
      await readPhoto(file, backend.info.limits);
      const reply = await backend.photo({ kind: "login", claim: this.claim, files: [file] });
      return reply;
    });
  }

  // One attempt from begin to verdict, whatever happens in between.
  async attempt(act) {
    const running = new AbortController();
    this.leave();
    this.running = running;
    clearVerdict();
    this.app.hideOperator();
    this.label("login.stop");
    try {
      const reply = await act(running.signal);
      if (running.signal.aborted) return;
      this.finish(reply.login);
    } catch (error) {
      if (running.signal.aborted) return;
      this.fail(error);
    } finally {
      if (this.running === running) this.running = null;
    }
  }

  tell({ faces, advice, login }) {
    const { challenge, verdict } = login;
    this.steps(challenge);
    showHint(challenge ? challenge.code : advice[0]?.code);
    if (faces === 0) this.advice.soon("login.nobody");
    else if (challenge) this.advice.soon(challenge.text);
    else if (advice.length) this.advice.soon(advice.map(({ text }) => text).join(" "));
    else if (faces > 1) this.advice.soon("login.several", { count: faces });
    else this.advice.soon("login.hold");
    return Boolean(verdict);
  }

  steps(challenge) {
    $("login-steps").hidden = !challenge;
    if (!challenge) return;
    const { step, steps } = challenge;
    say($("login-steps").querySelector("span"), "login.step", { step, steps });
    $("login-steps").style.setProperty("--share", String((step - 1) / steps));
  }

  finish({ verdict, challenge }) {
    this.steps(null);
    this.advice.clear();
    setStage(verdict.accepted ? "accepted" : "refused");
    showVerdict(verdict, challenge);
    this.label(verdict.accepted ? "login.go" : "login.again");
    this.wait(this.app.backend.info.locked);
  }

  fail(error) {
    this.steps(null);
    setStage("off");
    this.advice.clear();
    this.label("login.again");
    if (isOurs(error)) this.advice.now(error.key, error.values);
    else if (error.code === "unreachable") this.app.connection.lost(() => this.app.show("login"));
    else sayError(this.advice.target, error);
  }

  // After too many failures: a countdown, or another factor.
  wait(locked) {
    clearInterval(this.countdown);
    this.countdown = null;
    $("login-go").disabled = $("login-photo").disabled = Boolean(locked);
    $("login-advice").removeAttribute("aria-live");
    if (!locked) return;
    if (locked.wait_seconds === null) {
      this.advice.now(locked.text);
      this.app.showOperator();
      return;
    }
    const end = performance.now() + locked.wait_seconds * 1000;
    const tick = () => {
      const left = (end - performance.now()) / 1000;
      if (left > 0) return this.advice.now("login.wait", { time: duration(left) });
      this.wait(null);
      this.advice.now("login.ready");
    };
    this.countdown = setInterval(tick, 1000);
    tick();
    // Said once; the seconds that follow are only to be seen.
    setTimeout(() => this.countdown && $("login-advice").setAttribute("aria-live", "off"), 500);
  }
}
