// Is this face good enough: fedfr_edge.vision.quality in the browser. Limits and advice come from Python.

import { inverse } from "./picture.js";

/**
 * @param picture the whole picture
 * @param crop its aligned face, 112×112
 * @param transform picture to crop
 * @param inner [first row, end, first column, end] of the crop's inner face
 * @param sides [eye, cheek] of either side of the face, each as inner
 * @returns {size, brightness, sharpness, turn, outside, eyes} as Quality in Python has them
 */
export function measure(picture, crop, transform, landmarks, { inner, sides }) {
  const [top, bottom, left, right] = inner;
  const side = crop.width;
  const luma = new Float64Array(side * side);
  for (let i = 0; i < luma.length; i++) {
    const at = 4 * i;
    // OpenCV's weights of 0.299, 0.587 and 0.114 in 15 bits, rounded to a whole grey level as it does.
    luma[i] = (crop.data[at] * 9798 + crop.data[at + 1] * 19235 + crop.data[at + 2] * 3735 + 16384) >> 15;
  }
  let sum = 0, squares = 0, edges = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const at = y * side + x;
      const edge = luma[at - 1] + luma[at + 1] + luma[at - side] + luma[at + side] - 4 * luma[at];
      sum += luma[at];
      squares += luma[at] * luma[at];
      edges += edge * edge;
    }
  }
  const count = (bottom - top) * (right - left);
  const contrast = Math.sqrt(Math.max(squares / count - (sum / count) ** 2, 0));
  return {
    size: side / Math.hypot(transform[0], transform[3]),
    brightness: sum / count,
    sharpness: contrast > 0 ? Math.sqrt(edges / count) / contrast : 0,
    turn: turnOf(landmarks),
    outside: outside(picture, transform, inner),
    eyes: Math.max(...sides.map(([eye, cheek]) =>
      (quantile(luma, side, eye, 0.7) + 1) / (quantile(luma, side, cheek, 0.5) + 1))),
  };
}

/** Codes of what is poor about a face, in Python's order. */
export function reasons(quality, limits) {
  const broken = {
    too_small: quality.size < limits.size,
    too_dark: quality.brightness < limits.dark,
    too_bright: quality.brightness > limits.bright,
    blurred: quality.sharpness < limits.sharpness,
    turned_away: Math.abs(quality.turn) > limits.turn,
    cut_off: quality.outside > limits.outside,
    occluded: quality.eyes < limits.eyes,
  };
  return Object.keys(broken).filter((code) => broken[code]);
}

/** How far a head is turned to a side, in distances between the eyes; see turn_of in Python. */
export function turnOf([leftEye, rightEye, nose, leftMouth, rightMouth]) {
  const eyes = [(leftEye[0] + rightEye[0]) / 2, (leftEye[1] + rightEye[1]) / 2];
  const down = [(leftMouth[0] + rightMouth[0]) / 2 - eyes[0], (leftMouth[1] + rightMouth[1]) / 2 - eyes[1]];
  const width = Math.hypot(rightEye[0] - leftEye[0], rightEye[1] - leftEye[1]) * Math.hypot(...down);
  // Turning "down" by a quarter gives the picture's right for an upright face.
  return width > 0 ? ((nose[0] - eyes[0]) * down[1] - (nose[1] - eyes[1]) * down[0]) / width : 0;
}

/** A quantile of the luma in a part of the crop, between neighbours in proportion as numpy's percentile. */
function quantile(luma, width, [top, bottom, left, right], share) {
  const values = [];
  for (let y = top; y < bottom; y++) values.push(...luma.subarray(y * width + left, y * width + right));
  values.sort((one, other) => one - other);
  const at = share * (values.length - 1), low = Math.floor(at);
  return values[low] + (values[Math.min(low + 1, values.length - 1)] - values[low]) * (at - low);
}

/** Share of the inner face that lies beyond the picture's edge. */
function outside(picture, transform, [top, bottom, left, right]) {
  const [a, b, c, d, e, f] = inverse(transform);
  let beyond = 0;
  for (let v = top; v < bottom; v++) {
    for (let u = left; u < right; u++) {
      const x = a * u + b * v + c, y = d * u + e * v + f;
      if (x <= -0.5 || y <= -0.5 || x >= picture.width - 0.5 || y >= picture.height - 0.5) beyond++;
    }
  }
  return beyond / ((bottom - top) * (right - left));
}
