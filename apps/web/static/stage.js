// The picture: the camera's film or a photograph, the box around the face, and the curtain when it is off.

import { WIDTH, HEIGHT } from "./camera.js";
import { $, say, setIcon } from "./dom.js";

const HINTS = {
  turn_left: "left", turn_right: "right", nearer: "near", closer: "near", too_small: "near", farther: "far",
};
const CURTAINS = { off: "camera", opening: "camera", accepted: "check", enrolled: "check", refused: "cross" };

const context = $("overlay").getContext("2d");

// off, opening, live, photo, accepted, refused or enrolled
export function setStage(state) {
  $("stage").dataset.state = state;
  $("curtain").hidden = !(state in CURTAINS);
  if (state in CURTAINS) {
    setIcon($("curtain").querySelector("svg"), CURTAINS[state]);
    say($("curtain").querySelector("span"), `stage.${state}`);
  }
  $("still").hidden = state !== "photo";
  if (state !== "live") {
    drawBox(null);
    showHint(null);
  }
}

export function drawBox(box, good = false) {
  context.clearRect(0, 0, WIDTH, HEIGHT);
  if (!box) return;
  const [left, top, right, bottom] = box;
  const wide = right - left, high = bottom - top, arm = Math.min(wide, high) * 0.22;
  const path = new Path2D();
  for (const [x, y, dx, dy] of [
    [left, top, 1, 1], [right, top, -1, 1], [right, bottom, -1, -1], [left, bottom, 1, -1],
  ]) {
    path.moveTo(x + dx * arm, y);
    path.lineTo(x, y);
    path.lineTo(x, y + dy * arm);
  }
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = 9;
  context.strokeStyle = "rgb(0 0 0 / 55%)";
  context.stroke(path);
  context.lineWidth = 5;
  context.strokeStyle = good ? "#4ade80" : "#fff";
  context.stroke(path);
}

// An arrow for what is asked; the picture is mirrored, so the person's left is the screen's left.
export function showHint(code) {
  const name = HINTS[code];
  $("hint").toggleAttribute("hidden", !name);
  if (name) setIcon($("hint"), name);
}

export function showPhoto(image) {
  const still = $("still"), scale = Math.min(WIDTH / image.width, HEIGHT / image.height);
  const wide = image.width * scale, high = image.height * scale;
  const paint = still.getContext("2d");
  paint.clearRect(0, 0, WIDTH, HEIGHT);
  paint.drawImage(image, (WIDTH - wide) / 2, (HEIGHT - high) / 2, wide, high);
  setStage("photo");
}
