// Camera frames into a session of the back end, one after another, until there is an answer.

import { CameraError } from "./camera.js";
import { drawBox, setStage } from "./stage.js";

// Calls tell(reply) for each frame until it returns true. Resolves to that last reply, or to null when it was
// stopped. The time from a frame to its drawn answer is measured as "look" (performance.getEntriesByName).
export async function film({ backend, camera, request, signal, tell }) {
  let session = null;
  const end = () => {
    session?.close();
    camera.close();
  };
  // At once, not after the answer that is being waited for.
  signal.addEventListener("abort", end);
  setStage("opening");
  try {
    await camera.open();
    if (signal.aborted) return null;
    session = await backend.begin(request);
    if (signal.aborted) return null;
    const lost = new Promise((_, reject) => {
      session.onlost = (why) => reject(asError(why));
    });
    lost.catch(() => {});
    setStage("live");
    while (!signal.aborted) {
      const shot = await Promise.race([camera.frame(), lost]);
      if (signal.aborted || !shot) return null;
      const reply = await Promise.race([session.look(shot.canvas), lost]);
      if (signal.aborted) return null;
      if (!camera.alive) throw new CameraError("lost");
      drawBox(reply.box, reply.faces === 1 && !reply.advice.length);
      const done = tell(reply);
      measure(shot.at);
      if (done) return reply;
    }
    return null;
  } catch (error) {
    if (signal.aborted) return null;
    throw error;
  } finally {
    signal.removeEventListener("abort", end);
    end();
  }
}

function measure(start) {
  requestAnimationFrame(() => {
    if (performance.getEntriesByName("look").length >= 1000) performance.clearMeasures("look");
    performance.measure("look", { start, end: performance.now() });
  });
}

function asError(why) {
  return why instanceof Error ? why : Object.assign(new Error(String(why)), { code: "unreachable" });
}
