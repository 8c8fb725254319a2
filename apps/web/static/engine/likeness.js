// How alike one person's looks are: fedfr_edge.recognition.likeness in the browser.

import { cosine } from "./template.js";

/** Looks that are nearly an earlier one: [{row, other, score}]; a cosine of `limit` or more is a repeat. */
export function repeats(embeddings, limit) {
  const kept = [], found = [];
  embeddings.forEach((embedding, row) => {
    const scores = kept.map((other) => cosine(embeddings[other], embedding));
    const best = scores.indexOf(Math.max(...scores));
    if (best >= 0 && scores[best] >= limit) found.push({ row, other: kept[best], score: scores[best] });
    else kept.push(row);
  });
  return found;
}

/**
 * Looks whose cosine with the sum of the others is below `limit`, the worst first, each time counted anew; at most
 * the smaller half.
 */
export function outliers(embeddings, limit) {
  let kept = embeddings.map((_, row) => row);
  const dropped = [];
  while (kept.length > 1) {
    const scores = leaveOneOut(kept.map((row) => embeddings[row]));
    const worst = scores.indexOf(Math.min(...scores));
    if (scores[worst] >= limit || 2 * (dropped.length + 1) >= embeddings.length) break;
    dropped.push({ row: kept[worst], score: scores[worst] });
    kept = kept.filter((_, i) => i !== worst);
  }
  return dropped;
}

function leaveOneOut(embeddings) {
  const sum = new Float64Array(embeddings[0].length);
  for (const embedding of embeddings) embedding.forEach((value, i) => (sum[i] += value));
  return embeddings.map((embedding) => {
    const others = sum.map((value, i) => value - embedding[i]);
    const length = Math.hypot(...others);
    return length > 1e-6 ? cosine(others, embedding) / length : 0;
  });
}
