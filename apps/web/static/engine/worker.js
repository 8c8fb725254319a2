// The engine on a thread of its own, so that the page stays smooth.

import { Engine } from "./engine.js";
import { told } from "./fault.js";

let engine = null;

const requests = {
  async open({ settings, options }) {
    engine = await Engine.open(settings, options);
    return engine.provider;
  },
  see: ({ picture, options }) => engine.see(picture, options),
  find: ({ picture, options }) => engine.find(picture, options),
  examine: ({ picture, options }) => engine.examine(picture, options),
};

self.onmessage = async ({ data: { id, kind, ...request } }) => {
  try {
    self.postMessage({ id, result: await requests[kind](request) });
  } catch (error) {
    self.postMessage({ id, error: told(error) });
  }
};
