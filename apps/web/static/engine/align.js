// Five landmarks [[x, y] × 5] to the 112×112 crop: fedfr_edge.vision.align in the browser.

/** What the landmarks say cannot be a face. */
export class AlignmentError extends Error {}

/**
 * The similarity [[a, −b], [b, a]] plus shift, by least squares onto the template, as a 2×3 map
 * [a, −b, x, b, a, y]; see similarity_transform in Python for the formula.
 */
export function similarity(landmarks, { template, least_scale, most_scale, least_explained }) {
  const mean = middle(landmarks);
  const targetMean = middle(template);
  let spread = 0, along = 0, across = 0, targetSpread = 0;
  for (let i = 0; i < 5; i++) {
    const x = landmarks[i][0] - mean[0], y = landmarks[i][1] - mean[1];
    const tx = template[i][0] - targetMean[0], ty = template[i][1] - targetMean[1];
    spread += x * x + y * y;
    along += x * tx + y * ty;
    across += x * ty - y * tx;
    targetSpread += tx * tx + ty * ty;
  }
  if (!Number.isFinite(spread) || spread < 1e-6) throw new AlignmentError("the landmarks are not those of a face");
  const a = along / spread, b = across / spread;
  const scale = Math.hypot(a, b);
  if (scale < least_scale || scale > most_scale || (scale * scale * spread) / targetSpread < least_explained) {
    throw new AlignmentError("the landmarks are not those of a face that can be set upright");
  }
  return [
    a, -b, targetMean[0] - (a * mean[0] - b * mean[1]),
    b, a, targetMean[1] - (b * mean[0] + a * mean[1]),
  ];
}

export function middle(points) {
  let x = 0, y = 0;
  for (const point of points) {
    x += point[0];
    y += point[1];
  }
  return [x / points.length, y / points.length];
}

export function apply([a, b, c, d, e, f], points) {
  return points.map(([x, y]) => [a * x + b * y + c, d * x + e * y + f]);
}

/** first, then second, as one map. */
export function after(second, first) {
  const [a, b, c, d, e, f] = second;
  const [g, h, i, j, k, l] = first;
  return [a * g + b * j, a * h + b * k, a * i + b * l + c, d * g + e * j, d * h + e * k, d * i + e * l + f];
}
