// The page's end of the worker.

import { Fault } from "./fault.js";

/** A processor for the page itself, and no more threads than help at these sizes. */
const threads = () => (self.crossOriginIsolated && navigator.hardwareConcurrency > 2 ? 2 : 1);

export class Eyes {
  static async open(settings) {
    const eyes = new Eyes(new Worker(new URL("./worker.js", import.meta.url), { type: "module" }));
    const options = { base: document.baseURI, threads: threads() };
    eyes.provider = await eyes.ask({ kind: "open", settings, options });
    return eyes;
  }

  constructor(worker) {
    this.worker = worker;
    this.waiting = new Map();
    this.count = 0;
    worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      error ? reject(new Fault(error.code, error.text)) : resolve(result);
    };
    worker.onerror = (event) => {
      for (const { reject } of this.waiting.values()) {
        reject(new Fault("engine_lost", `Recognition stopped (${event.message ?? "not loaded"}); reload the page.`));
      }
      this.waiting.clear();
    };
  }

  /** What Engine does under this name, "see", "find" or "examine"; `picture` is given away. */
  look(kind, picture, options) {
    const { data, width, height } = picture;
    return this.ask({ kind, picture: { data, width, height }, options }, [data.buffer]);
  }

  ask(request, given = []) {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...request }, given);
    });
  }
}
