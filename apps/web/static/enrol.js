// Guided enrolment: several looks, a bar that fills, and why a look was not taken.

import { Camera } from "./camera.js";
import { $, element, hush, icon, say, sayError, sentence, setIcon, words } from "./dom.js";
import { film } from "./film.js";
import { isOurs, readPhoto } from "./photo.js";
import { setStage, showHint } from "./stage.js";
import { Steady } from "./steady.js";

const POOR = new Set(["too_small", "too_dark", "too_bright", "blurred", "cut_off", "several_faces"]);

export class Enrol {
  constructor(app) {
    this.app = app;
    this.running = null;
    this.advice = new Steady($("enrol-advice"));
    $("enrol-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) this.stop();
      else this.start();
    });
    $("enrol-photos").addEventListener("change", ({ target }) => {
      const files = [...target.files];
      target.value = "";
      if (files.length) this.photos(files);
    });
  }

  enter() {
    this.clear();
    setStage("off");
    this.advice.now("enrol.ready");
    this.label("enrol.go");
  }

  leave() {
    this.running?.abort();
    this.running = null;
  }

  clear() {
    hush($("enrol-error"));
    hush($("enrol-result"));
    $("enrol-looks").replaceChildren();
    $("enrol-bar").hidden = true;
    $("enrol-name").removeAttribute("aria-invalid");
    this.line = null;
  }

  label(key) {
    say($("enrol-go"), key);
    $("enrol-photos").disabled = $("enrol-name").readOnly = key === "enrol.stop";
  }

  stop() {
    this.leave();
    setStage("off");
    this.advice.now("enrol.stopped");
    this.label("enrol.go");
  }

  // The name that was typed; says what is wrong with it, and gives none then.
  name() {
    const name = $("enrol-name").value.trim();
    const most = this.app.backend.info.limits?.name_length ?? Infinity, count = [...name].length;
    if (name && count <= most) return name;
    if (name) say($("enrol-error"), "enrol.long_name", { count, most });
    else say($("enrol-error"), "enrol.no_name");
    this.advice.clear();
    $("enrol-name").setAttribute("aria-invalid", "true");
    $("enrol-name").focus();
    return null;
  }

  start() {
    return this.attempt((request, signal) => {
      this.advice.now("login.nobody");
      const { backend } = this.app;
      const camera = new Camera($("video"));
      return film({ backend, camera, request, signal, tell: (reply) => this.tell(reply) });
    });
  }

  photos(files) {
    return this.attempt(async (request, signal) => {
      const { backend } = this.app;
      this.advice.clear();
      const readable = [];
      for (const file of files) {
        try {
          readable.push([file.name, await readPhoto(file, backend.info.limits)]);
        } catch (error) {
          this.photo(file.name, { accepted: false, text: words(error.key, error.values) });
        }
      }
      if (!readable.length) return null;
      const session = await backend.begin({ ...request, photos: readable.length });
      let reply = null;
      try {
        for (const [name, canvas] of readable) {
          reply = await session.look(canvas);
          if (signal.aborted) return null;
          this.photo(name, reply.enrol.look);
          this.bar(reply.enrol);
        }
        return reply.enrol.taken ? await session.finish() : null;
      } finally {
        session.close();
      }
    });
  }

  // One line for each photograph.
  photo(file, { accepted, text }) {
    this.open(accepted ? "enrol.photo_taken" : "enrol.photo_refused", { file }, accepted);
    if (!accepted) this.line.querySelector(".quiet").append(text);
    this.line = null;
  }

  async attempt(act) {
    this.clear();
    const name = this.name();
    if (!name) return;
    const running = (this.running = new AbortController());
    this.label("enrol.stop");
    try {
      const reply = await act({ kind: "enrol", name }, running.signal);
      if (running.signal.aborted) return;
      this.finish(reply?.enrol ?? null);
    } catch (error) {
      if (!running.signal.aborted) this.fail(error);
    } finally {
      if (this.running === running) this.running = null;
    }
  }

  tell({ faces, advice, enrol }) {
    this.bar(enrol);
    const { look, next, taken } = enrol;
    if (look.accepted) this.taken(taken);
    else if (look.code && faces) this.refused(taken + 1, look.text);
    // What is wrong with the picture comes first; else how to hold the head.
    const first = advice.find(({ code }) => POOR.has(code)) ?? next;
    showHint(first?.code);
    if (faces === 0) this.advice.soon("login.nobody");
    else if (first) this.advice.soon(first.text);
    return enrol.done;
  }

  bar({ taken, needed }) {
    $("enrol-bar").hidden = false;
    $("enrol-progress").max = needed;
    $("enrol-progress").value = taken;
    say($("enrol-count"), "enrol.count", { taken, needed });
  }

  taken(number) {
    this.open("enrol.look_taken", { number }, true);
    const reasons = this.line.querySelector(".quiet");
    if (reasons.textContent) reasons.prepend(words("enrol.look_before"));
    this.line = null;
  }

  // A look keeps one line however often it is refused, with each reason once.
  refused(number, reason) {
    this.open("enrol.look_refused", { number }, false);
    const reasons = this.line.querySelector(".quiet");
    if (!reasons.textContent.includes(sentence(reason))) reasons.append(`${sentence(reason)} `);
  }

  // Begins the line of the next look, or changes what it says; the newest stands first.
  open(key, values, accepted) {
    if (!this.line) {
      this.line = element("li", {}, icon("check"), element("div", {}, element("span"), element("span", { class: "quiet" })));
      $("enrol-looks").prepend(this.line);
    }
    this.line.className = accepted ? "taken" : "refused";
    setIcon(this.line.querySelector("svg"), accepted ? "check" : "cross");
    say(this.line.querySelector("span"), key, values);
  }

  finish(enrol) {
    this.advice.clear();
    if (enrol?.done) {
      setStage("enrolled");
      const line = element("strong");
      say(line, "enrol.done", { name: enrol.person.name });
      const remarks = (enrol.report ?? []).map((remark) => element("p", {}, sentence(String(remark.text ?? remark))));
      $("enrol-result").replaceChildren(icon("check"), element("div", {}, line, ...remarks));
      $("enrol-name").value = "";
      this.label("enrol.go");
      return;
    }
    setStage("off");
    this.label("enrol.go");
    say($("enrol-error"), "enrol.no_photo");
  }

  fail(error) {
    setStage("off");
    this.advice.clear();
    this.label("enrol.go");
    if (isOurs(error)) say($("enrol-error"), error.key, error.values);
    else if (error.code === "unreachable") this.app.connection.lost(() => this.app.show("enrol"));
    else if (error.code === "not_operator") this.app.bar();
    else sayError($("enrol-error"), error);
  }
}
