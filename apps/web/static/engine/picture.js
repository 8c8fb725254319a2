// Pictures are {data: Uint8ClampedArray RGBA, width, height}, as a canvas gives them. What is done to them here
// is what OpenCV does in the Python library, within one grey level.

/** Nearest whole number, halves to the even one, as Python's round(). */
export function evenly(value) {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

export function blank(width, height) {
  const data = new Uint8ClampedArray(4 * width * height);
  for (let i = 3; i < data.length; i += 4) data[i] = 255;
  return { data, width, height };
}

/** For each of `to` cells: which of `from` cells it covers, and how much of it each makes up. */
function shares(from, to) {
  const step = from / to;
  return Array.from({ length: to }, (_, cell) => {
    const begin = cell * step;
    const end = Math.min(begin + step, from);
    const first = Math.floor(begin);
    const last = Math.min(Math.ceil(end - 1e-9), from);
    const weights = [];
    for (let i = first; i < last; i++) {
      weights.push((Math.min(i + 1, end) - Math.max(i, begin)) / (end - begin));
    }
    return { first, weights };
  });
}

/** For each of `to` cells: the two of `from` cells that it lies between. */
function neighbours(from, to) {
  const step = from / to;
  return Array.from({ length: to }, (_, cell) => {
    const at = Math.min(Math.max((cell + 0.5) * step - 0.5, 0), from - 1);
    const first = Math.min(Math.floor(at), Math.max(from - 2, 0));
    return { first, weights: from > 1 ? [1 - (at - first), at - first] : [1] };
  });
}

/** Scale: averages over areas where that reduces the picture, else interpolates. */
export function resize(picture, width, height) {
  const taps = width < picture.width || height < picture.height ? shares : neighbours;
  const across = taps(picture.width, width);
  const down = taps(picture.height, height);
  const rows = new Float32Array(3 * width * picture.height);
  for (let y = 0, out = 0; y < picture.height; y++) {
    const line = 4 * y * picture.width;
    for (const { first, weights } of across) {
      let r = 0, g = 0, b = 0;
      for (let k = 0, at = line + 4 * first; k < weights.length; k++, at += 4) {
        r += weights[k] * picture.data[at];
        g += weights[k] * picture.data[at + 1];
        b += weights[k] * picture.data[at + 2];
      }
      rows[out++] = r;
      rows[out++] = g;
      rows[out++] = b;
    }
  }
  const result = blank(width, height);
  for (let y = 0; y < height; y++) {
    const { first, weights } = down[y];
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * rows[3 * ((first + k) * width + x) + c];
        result.data[4 * (y * width + x) + c] = sum;
      }
    }
  }
  return result;
}

/** The inverse of a 2×3 affine map, both as [a, b, c, d, e, f] with x' = a·x + b·y + c, y' = d·x + e·y + f. */
export function inverse([a, b, c, d, e, f]) {
  const size = a * e - b * d;
  return [e / size, -b / size, (b * f - c * e) / size, -d / size, a / size, (c * d - a * f) / size];
}

/** Sample a square of `side` pixels that `transform` (picture to square) picks out; black beyond the edge. */
export function warp(picture, transform, side) {
  const { data, width, height } = picture;
  const [a, b, c, d, e, f] = inverse(transform);
  const result = blank(side, side);
  const out = result.data;
  for (let v = 0; v < side; v++) {
    for (let u = 0; u < side; u++) {
      const x = a * u + b * v + c;
      const y = d * u + e * v + f;
      const left = Math.floor(x);
      const top = Math.floor(y);
      if (left < -1 || top < -1 || left >= width || top >= height) continue;
      const fx = x - left;
      const fy = y - top;
      // Beyond the edge a neighbour is black: its weight goes to nothing.
      const w00 = left >= 0 && top >= 0 ? (1 - fx) * (1 - fy) : 0;
      const w10 = left + 1 < width && top >= 0 ? fx * (1 - fy) : 0;
      const w01 = left >= 0 && top + 1 < height ? (1 - fx) * fy : 0;
      const w11 = left + 1 < width && top + 1 < height ? fx * fy : 0;
      const p00 = 4 * (Math.max(top, 0) * width + Math.max(left, 0));
      const p10 = 4 * (Math.max(top, 0) * width + Math.min(left + 1, width - 1));
      const p01 = 4 * (Math.min(top + 1, height - 1) * width + Math.max(left, 0));
      const p11 = 4 * (Math.min(top + 1, height - 1) * width + Math.min(left + 1, width - 1));
      const to = 4 * (v * side + u);
      for (let k = 0; k < 3; k++) {
        out[to + k] = w00 * data[p00 + k] + w10 * data[p10 + k] + w01 * data[p01 + k] + w11 * data[p11 + k];
      }
    }
  }
  return result;
}

export function mirrored(picture) {
  const { width, height } = picture;
  const result = blank(width, height);
  const from = new Uint32Array(picture.data.buffer, picture.data.byteOffset, width * height);
  const to = new Uint32Array(result.data.buffer);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) to[y * width + x] = from[y * width + width - 1 - x];
  }
  return result;
}

/** float32 planes R, G, B, values 0 to 255: a detector's input. */
export function planes(picture) {
  const area = picture.width * picture.height;
  const result = new Float32Array(3 * area);
  for (let i = 0, at = 0; i < area; i++, at += 4) {
    result[i] = picture.data[at];
    result[area + i] = picture.data[at + 1];
    result[2 * area + i] = picture.data[at + 2];
  }
  return result;
}

/** uint8 R, G, B by pixel: a recognition model's input. */
export function pixels(picture) {
  const area = picture.width * picture.height;
  const result = new Uint8Array(3 * area);
  for (let i = 0; i < area; i++) {
    result[3 * i] = picture.data[4 * i];
    result[3 * i + 1] = picture.data[4 * i + 1];
    result[3 * i + 2] = picture.data[4 * i + 2];
  }
  return result;
}
