// Photographs instead of the camera: read by the browser, upright, and checked before they are sent.

import { CameraError } from "./camera.js";
import { showPhoto } from "./stage.js";

export class PhotoError extends Error {
  constructor(key, values) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

// Longer sides are reduced: a frame holds at most this many pixels on a side.
const LONGEST = 1280;

// Shows the photograph and resolves to a canvas that holds it whole.
export async function readPhoto(file, limits) {
  const most = limits?.photo_bytes ?? Infinity;
  if (file.size > most) {
    const mega = (bytes) => (bytes / 1e6).toFixed(1);
    throw new PhotoError("photo.too_large", { file: file.name, megabytes: mega(file.size), most: mega(most) });
  }
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    throw new PhotoError("photo.unreadable", { file: file.name });
  }
  showPhoto(image);
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, LONGEST / Math.max(image.width, image.height));
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const paint = canvas.getContext("2d", { alpha: false });
  paint.imageSmoothingQuality = "high";
  paint.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return canvas;
}

// Errors that the page words itself; the others come from the back end.
export const isOurs = (error) => error instanceof PhotoError || error instanceof CameraError;
