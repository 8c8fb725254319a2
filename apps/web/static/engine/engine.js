// From a picture to an embedding: detector and recognition model in onnxruntime-web.

import { AlignmentError, similarity } from "./align.js";
import { Detector, largestCentral } from "./detect.js";
import { Fault } from "./fault.js";
import { pixels, warp } from "./picture.js";
import { measure, reasons } from "./quality.js";

export class Engine {
  /** Load all that is needed; afterwards nothing more is fetched. */
  static async open(settings, { base, threads }) {
    const { files } = settings;
    const runtime = new URL(files.runtime, base).href;
    const ort = await import(runtime + files.entry);
    ort.env.wasm.wasmPaths = runtime;
    ort.env.wasm.numThreads = threads;
    const open = async (file) => {
      const bytes = await fetched(new URL(file.address, base), file.sha256);
      return ort.InferenceSession.create(bytes, {
        executionProviders: ["wasm"],
        graphOptimizationLevel: "all",
        logSeverityLevel: 3, // errors; the detector's file has unused weights, each worth a warning
        extra: { session: { intra_op: { allow_spinning: "0" } } }, // a thread that waits leaves the processor alone
      });
    };
    // One after the other: the runtime starts once.
    const detector = await open(files.detector);
    const model = await open(files.model);
    const engine = new Engine(ort, detector, model, settings);
    // The first run of each size sets up its memory.
    await engine.detector.detect({ data: new Uint8ClampedArray(4 * 640 * 480), width: 640, height: 480 }, true);
    const { face_size } = settings.alignment;
    await engine.embed(new Uint8Array(3 * face_size * face_size)).catch(() => {}); // black may have no direction
    return engine;
  }

  constructor(ort, detector, model, settings) {
    this.ort = ort;
    this.provider = `onnxruntime-web ${ort.env.versions.web}, WebAssembly, threads: ${ort.env.wasm.numThreads}`;
    this.model = model;
    this.settings = settings;
    const [input] = detector.inputNames;
    const [heat, size, offset, marks] = detector.outputNames;
    const run = async (values, width, height) => {
      const maps = await detector.run({ [input]: new ort.Tensor("float32", values, [1, 3, height, width]) });
      return { heat: maps[heat].data, size: maps[size].data, offset: maps[offset].data, marks: maps[marks].data };
    };
    this.detector = new Detector(run, settings);
  }

  /**
   * One look at a picture; capture() in Python, and the embedding of the face that it gives.
   *
   * @param live a frame of a film: first looked at in a smaller size
   * @param several "central": of several faces take the large and central one; "refuse": none
   * @param gate whether a poor face is refused
   * @returns {faces, box, landmarks, quality: codes, reason, detail, embedding, ms}; box and landmarks null where no
   *     face was chosen; embedding null and reason set where the face cannot be used
   */
  async see(picture, options) {
    const found = await this.find(picture, options);
    return found.box === null ? found : this.examine(picture, { ...options, found });
  }

  /** The face that is meant, not yet judged: as see(), with embedding null. */
  async find(picture, { live, several }) {
    const began = performance.now();
    const faces = await this.detector.detect(picture, live);
    const nothing = { box: null, landmarks: null, quality: [], reason: null, detail: "", embedding: null };
    const found = { ...nothing, faces: faces.length };
    if (faces.length === 0) found.reason = "no_face";
    else if (faces.length > 1 && several === "refuse") found.reason = "several_faces";
    else {
      const face = largestCentral(faces, picture.width, picture.height);
      found.box = face.box;
      found.landmarks = await this.detector.lookAgain(picture, face.landmarks);
    }
    return { ...found, ms: { look: performance.now() - began, embed: 0 } };
  }

  /** A face that find() found in this picture, judged and embedded: examine() in Python, and the embedding. */
  async examine(picture, { found, gate }) {
    const { alignment, quality } = this.settings;
    const began = performance.now();
    const seen = { ...found };
    let transform;
    try {
      transform = similarity(seen.landmarks, alignment);
    } catch (error) {
      if (error instanceof AlignmentError) return { ...seen, reason: "not_alignable", detail: error.message };
      throw error;
    }
    const crop = warp(picture, transform, alignment.face_size);
    seen.measured = measure(picture, crop, transform, seen.landmarks, quality);
    seen.quality = reasons(seen.measured, quality.limits);
    if (gate && seen.quality.length > 0) return { ...seen, reason: "low_quality" };
    const judged = performance.now();
    seen.embedding = await this.embed(pixels(crop));
    seen.ms = { look: found.ms.look + judged - began, embed: performance.now() - judged };
    return seen;
  }

  /** The unit embedding, Float32Array, of one aligned face, uint8 R, G, B by pixel. */
  async embed(face) {
    const side = this.settings.alignment.face_size;
    const { faces, embedding } = this.settings.model;
    const values = await this.model.run({ [faces]: new this.ort.Tensor("uint8", face, [1, side, side, 3]) }, [embedding]);
    const vector = values[embedding].data;
    const length = Math.hypot(...vector);
    // "not (… <= …)" so that a NaN counts as wrong.
    if (!(Math.abs(length - 1) <= 1e-3)) {
      throw new Fault("model_damaged", `The model gives an embedding of length ${length.toPrecision(3)}, not 1.`);
    }
    return Float32Array.from(vector);
  }
}

async function fetched(address, sha256) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Fault("not_loaded", `${address.pathname} answers ${answer.status}.`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new Fault("not_loaded", `${address.pathname} is not the file that was announced.`);
  return bytes;
}
