// CenterFace in the browser: fedfr_edge.vision.{working,centerface,suppress,refine,select}.
// A face is {box: [left, top, right, bottom], landmarks: [[x, y] × 5], score}, in pixels of the picture.

import { AlignmentError, after, apply, middle, similarity } from "./align.js";
import { blank, evenly, inverse, mirrored, planes, resize, warp } from "./picture.js";

const MIRRORED = [1, 0, 2, 4, 3];

export class Detector {
  /**
   * @param run (Float32Array planes, width, height) → the network's maps {heat, size, offset, marks}, each
   *     Float32Array, by cells of `stride` pixels
   * @param settings what the server says of the detector and of alignment
   */
  constructor(run, settings) {
    this.run = run;
    this.settings = settings.detector;
    this.alignment = settings.alignment;
  }

  /**
   * All faces, best first, as a first look sees them.
   *
   * @param live look at a smaller size, and at the usual one only where no face is seen
   */
  async detect(picture, live = false) {
    const { live_working, working } = this.settings;
    const faces = live ? await this.detectAt(picture, live_working) : [];
    return faces.length > 0 ? faces : this.detectAt(picture, working);
  }

  async detectAt(picture, { least, most }) {
    const longest = Math.max(picture.width, picture.height);
    const scale = Math.min(Math.max(longest, least), most) / longest;
    const width = Math.max(1, evenly(picture.width * scale));
    const height = Math.max(1, evenly(picture.height * scale));
    const scaled = width === picture.width && height === picture.height ? picture : resize(picture, width, height);
    const across = width / picture.width, down = height / picture.height;
    const back = ([x, y]) => [(x + 0.5) / across - 0.5, (y + 0.5) / down - 0.5];
    return (await this.find(padded(scaled))).map(({ box, landmarks, score }) => ({
      box: [...back(box.slice(0, 2)), ...back(box.slice(2))],
      landmarks: landmarks.map(back),
      score,
    }));
  }

  /** Better landmarks of one face: seen again upright, at the size that suits, as it is and mirrored. */
  async lookAgain(picture, landmarks) {
    const { side, scale } = this.settings.second_look;
    let transform;
    try {
      transform = similarity(landmarks, this.alignment);
    } catch (error) {
      if (error instanceof AlignmentError) return landmarks;
      throw error;
    }
    const { face_size } = this.alignment;
    // The crop's middle lies between the eyes and the nose; more room is needed above than below.
    const onto = [scale, 0, side / 2 - (scale * face_size) / 2, 0, scale, side / 2 - scale * face_size * 0.54];
    transform = after(onto, transform);
    const shown = warpSmoothly(picture, transform, side);
    const expected = middle(apply(transform, landmarks));
    const reach = 0.2 * face_size * scale;
    const seen = [];
    for (const view of [shown, mirrored(shown)]) {
      for (const face of await this.find(view)) {
        const points =
          view === shown ? face.landmarks : MIRRORED.map((i) => [side - 1 - face.landmarks[i][0], face.landmarks[i][1]]);
        const [x, y] = middle(points);
        if (Math.max(Math.abs(x - expected[0]), Math.abs(y - expected[1])) < reach) {
          seen.push(points);
          break;
        }
      }
    }
    if (seen.length === 0) return landmarks;
    return apply(inverse(transform), seen[0].map((_, i) => middle(seen.map((points) => points[i]))));
  }

  /** Run the network once on a picture whose sides are multiples of 32. */
  async find(picture) {
    const maps = await this.run(planes(picture), picture.width, picture.height);
    return decode(maps, picture.width / this.settings.stride, picture.height / this.settings.stride, this.settings);
  }
}

/** Turn the network's maps into faces, best score first; see decode in Python. */
export function decode({ heat, size, offset, marks }, width, height, { stride, score, vote_score, vote_overlap }) {
  const area = width * height;
  const cells = [];
  for (let cell = 0; cell < area; cell++) {
    if (!(heat[cell] > Math.min(score, vote_score))) continue;
    const tall = Math.exp(size[cell]) * stride, wide = Math.exp(size[area + cell]) * stride;
    const top = (Math.floor(cell / width) + offset[cell] + 0.5) * stride - tall / 2;
    const left = ((cell % width) + offset[area + cell] + 0.5) * stride - wide / 2;
    // The network says y before x.
    const landmarks = Array.from({ length: 5 }, (_, i) => [
      marks[(2 * i + 1) * area + cell] * wide + left,
      marks[2 * i * area + cell] * tall + top,
    ]);
    cells.push({ box: [left, top, left + wide, top + tall], landmarks, score: heat[cell] });
  }
  const faces = [];
  for (const best of suppress(cells, 0.3)) {
    if (best.score < score) break;
    const voters = cells.filter((cell) => overlap(best.box, cell.box) >= vote_overlap);
    const total = voters.reduce((sum, voter) => sum + voter.score, 0);
    const mean = (of) => voters.reduce((sum, voter) => sum + (voter.score / total) * of(voter), 0);
    faces.push({
      box: [0, 1, 2, 3].map((i) => mean((voter) => voter.box[i])),
      landmarks: best.landmarks.map((_, i) => [0, 1].map((k) => mean((voter) => voter.landmarks[i][k]))),
      score: best.score,
    });
  }
  return faces;
}

/** The face a picture is about: large and near the middle; see largest_central in Python. */
export function largestCentral(faces, width, height) {
  const rank = ({ box: [left, top, right, bottom] }) => {
    const x = (left + right - width) / 2, y = (top + bottom - height) / 2;
    return (right - left) * (bottom - top) - 2 * (x * x + y * y);
  };
  return faces.reduce((best, face) => (rank(face) > rank(best) ? face : best));
}

/** The best box of every heap, best score first. */
export function suppress(cells, most) {
  let order = [...cells].sort((a, b) => b.score - a.score);
  const kept = [];
  while (order.length > 0) {
    const best = order[0];
    kept.push(best);
    order = order.slice(1).filter((cell) => overlap(best.box, cell.box) <= most);
  }
  return kept;
}

function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(width, 0) * Math.max(height, 0);
  const union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared;
  return union > 0 ? shared / union : 0;
}

function padded(picture) {
  const width = Math.ceil(picture.width / 32) * 32, height = Math.ceil(picture.height / 32) * 32;
  if (width === picture.width && height === picture.height) return picture;
  const result = blank(width, height);
  const row = 4 * picture.width;
  for (let y = 0; y < picture.height; y++) {
    result.data.set(picture.data.subarray(y * row, (y + 1) * row), 4 * y * width);
  }
  return result;
}

/** Where sampling reduces the picture, average first: sampling alone would alias. */
function warpSmoothly(picture, transform, side) {
  const reduction = Math.floor(1 / Math.max(Math.hypot(transform[0], transform[3]), 1e-6));
  if (reduction <= 1) return warp(picture, transform, side);
  const width = Math.max(1, Math.floor(picture.width / reduction));
  const height = Math.max(1, Math.floor(picture.height / reduction));
  const across = picture.width / width, down = picture.height / height;
  // x of the picture = (x of the small one + ½)·across − ½
  const enlarge = [across, 0, across / 2 - 0.5, 0, down, down / 2 - 0.5];
  return warp(resize(picture, width, height), after(transform, enlarge), side);
}
