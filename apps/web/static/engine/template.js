// Several embeddings of one person as one vector: fedfr_edge.recognition.template in the browser.

import { Fault } from "./fault.js";

/** t = m / ‖m‖ with m the mean; Float32Array. */
export function mean(embeddings) {
  const sum = new Float64Array(embeddings[0].length);
  for (const embedding of embeddings) embedding.forEach((value, i) => (sum[i] += value / embeddings.length));
  const length = Math.hypot(...sum);
  if (length < 1e-3) throw new Fault("no_direction", "These pictures have nothing in common; begin again.");
  return Float32Array.from(sum, (value) => value / length);
}

export function cosine(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}
