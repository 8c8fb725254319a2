// The back end that decides in the page: the same interface as remote.js, and no picture leaves the browser.

import { Eyes } from "./eyes.js";
import { Fault } from "./fault.js";
import { FAILURES, FRESH, blocked, counted } from "./lockout.js";
import { EnrolSitting, LoginSitting, refuseTaken } from "./sittings.js";
import { Store } from "./store.js";

/** Photographs with longer sides are reduced; a face in them is still far larger than the model's input. */
const LONGEST_PHOTO = 4096;

const ALTERED =
  "What this browser stored was altered. Delete the entries without a name, or all, and enrol these people again.";

export async function openBackend() {
  let answer;
  try {
    answer = await fetch("api/info", { cache: "no-store" });
  } catch {
    throw new Fault("unreachable", "The server does not answer.");
  }
  const info = await answer.json().catch(() => null);
  if (!answer.ok || info === null) {
    throw new Fault("not_loaded", info?.error?.text ?? `The server answers ${answer.status}.`);
  }
  if (!self.isSecureContext) {
    throw new Fault("insecure", "A browser computes here only over https, or on the device itself (127.0.0.1).");
  }
  const store = await Store.open(info.model.digest);
  const eyes = await Eyes.open(info.engine);
  const backend = new Local(info, store, eyes);
  await backend.refresh();
  return backend;
}

class Local {
  constructor(info, store, eyes) {
    this.store = store;
    this.eyes = eyes;
    this.settings = info.engine;
    this.attempts = null;
    this.foreign = null;
    // Whoever uses this browser's profile is its operator.
    this.info = Object.defineProperty({ ...info, operator: true }, "locked", { get: () => this.locked() });
  }

  async people() {
    await this.refresh();
    return this.known.map(({ id, name, enrolled, images }) => ({ id, name: name ?? "?", enrolled, images }));
  }

  async remove(id) {
    await this.store.remove(id);
    await this.store.note("delete", id);
    await this.refresh();
  }

  async log() {
    await this.refresh();
    const names = new Map(this.known.map(({ id, name }) => [id, name]));
    const entries = await this.store.all("log");
    return entries.reverse().map((entry) => ({ ...entry, name: names.get(entry.person) ?? null }));
  }

  async become_operator() {
    throw new Fault("no_key", "There is no operator's key here: whoever uses this browser is the operator.");
  }

  async begin({ kind, name, claim, photos, frames }) {
    await this.refresh();
    if (this.foreign !== null) throw new Fault("model_mismatch", this.foreign);
    if (kind !== "enrol") return new LoginSitting(this, claim, frames);
    const clean = cleaned(name, this.info.limits);
    refuseTaken(this.known, clean);
    return new EnrolSitting(this, clean, photos);
  }

  /** A login from a photograph: one look decides. */
  async photo({ claim, files: [file] }) {
    const { no_photo } = this.settings.login;
    if (no_photo !== null) throw new Fault(no_photo.code, no_photo.text);
    const session = await this.begin({ kind: "login", claim, frames: [1, 1] });
    const reply = await session.look(await opened(file), false);
    return reply.login.verdict === null ? session.end() : reply;
  }

  /** Read again what other tabs may have changed. */
  async refresh() {
    this.known = await this.store.people();
    this.attempts = await this.store.attempts();
    this.foreign = null;
    if (this.attempts === null && this.known.length === 0) await this.store.forgetAttempts();
    if (this.attempts === null) {
      this.attempts = FRESH; // nobody gets so far
      this.foreign = this.known.length > 0 ? ALTERED : null;
    } else if (this.known.some(({ digest }) => digest !== this.store.digest)) {
      this.foreign =
        "The people here were enrolled with another model, and embeddings of different models cannot be compared. " +
        "Delete them and enrol them again, or have that model served.";
    } else if (this.known.some(({ vector }) => vector === null)) {
      this.foreign = ALTERED;
    }
  }

  locked() {
    if (this.foreign !== null) return { reason: "model_mismatch", wait_seconds: null, text: this.foreign };
    return blocked(this.attempts, this.settings.lockout, Date.now());
  }

  /** See Eyes.look. */
  look(kind, canvas, options) {
    const paint = canvas.getContext("2d", { willReadFrequently: true });
    return this.eyes.look(kind, paint.getImageData(0, 0, canvas.width, canvas.height), options);
  }

  coded(codes) {
    return codes.map((code) => ({ code, text: this.settings.advice[code] ?? code }));
  }

  /** What a reply says of a look. */
  shown(seen) {
    const codes = seen.quality.length > 0 ? seen.quality : seen.reason === null ? [] : [seen.reason];
    const box = seen.box?.map((edge) => Math.round(edge * 10) / 10) ?? null;
    return { faces: seen.faces, box, advice: this.coded(codes), enrol: null, login: null };
  }

  /** Count and log a login before anybody is told. Others may have failed meanwhile, or somebody was deleted. */
  async decide(decision) {
    let final = decision;
    await this.store.count(async (attempts) => {
      const block = blocked(attempts, this.settings.lockout, Date.now());
      if (block !== null) final = { ...decision, accepted: false, reason: block.reason, person: null };
      else if (decision.person !== null && !(await this.store.has(decision.person.id))) {
        final = { ...decision, accepted: false, reason: "not_enrolled", person: null };
      }
      await this.store.note("login", final.person?.id ?? null, final.reason, final.score);
      this.attempts = counted(attempts, final.reason, Date.now());
      return this.attempts;
    });
    return final;
  }

  verdict({ accepted, reason, score, person, quality, faces }) {
    const { point, verdicts } = this.settings;
    const lock = FAILURES.has(reason) || ["locked", "other_factor"].includes(reason) ? this.locked() : null;
    const words = verdicts[reason].replace("{name}", () => person?.name ?? "");
    return {
      accepted,
      reason,
      text: lock !== null && !FAILURES.has(reason) ? lock.text : words,
      person: person === null ? null : { id: person.id, name: person.name },
      score,
      threshold: point.threshold,
      far: point.far,
      far_supported: point.far_supported,
      rests_on: point.rests_on,
      quality: this.coded(quality),
      faces_seen: faces,
      model: this.info.model.digest,
      provider: this.eyes.provider,
      wait_seconds: lock?.wait_seconds ?? null,
    };
  }
}

/** A name without outer spaces, in Unicode's composed form; see clean_name in Python. */
function cleaned(name, { name_length }) {
  const clean = (name ?? "").trim().normalize("NFC");
  if (!clean || [...clean].length > name_length || /\p{Cc}/u.test(clean)) {
    throw new Fault("name", `A name has 1 to ${name_length} printable characters; choose another one.`);
  }
  return clean;
}

/** A photograph as a canvas, upright. */
async function opened(file) {
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    throw new Fault("unreadable", `${file.name} is no picture that this browser can read.`);
  }
  const scale = Math.min(1, LONGEST_PHOTO / Math.max(image.width, image.height));
  const canvas = new OffscreenCanvas(Math.max(1, image.width * scale), Math.max(1, image.height * scale));
  const paint = canvas.getContext("2d", { willReadFrequently: true });
  paint.imageSmoothingQuality = "high";
  paint.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return canvas;
}
