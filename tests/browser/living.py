"""A living head before the camera: it sees the page and does what the page asks for.

The camera is a canvas of the page's, since a film cannot answer. The arrow on the page is what it follows.
"""

from __future__ import annotations

import base64
import json

import cv2
from acting import Pose, frame

STEP, MOST = 4, 24
"""Degrees between two pictures of a turn, and of the whole turn."""

NEAR = (0.66, 0.72, 0.78, 0.84, 0.92, 1.0, 1.08, 1.17, 1.26, 1.36, 1.46)
"""Sizes of the head while it comes and goes; 1 is where it begins."""

_CAMERA = """
(() => {
  const pictures = {}, canvas = document.createElement('canvas'), state = { yaw: 0, near: HOME };
  canvas.width = 640; canvas.height = 480;
  const paint = canvas.getContext('2d');
  const decoded = Promise.all(Object.entries(PICTURES).map(async ([key, data]) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    pictures[key] = await createImageBitmap(new Blob([bytes]));
  }));
  const asked = () => {
    const hint = document.querySelector('#hint');
    return hint && !hint.hidden && !hint.hasAttribute('hidden') ? hint.firstElementChild.getAttribute('href') : '';
  };
  const towards = (from, to, step) => from + Math.sign(to - from) * Math.min(step, Math.abs(to - from));
  setInterval(() => {
    const hint = asked();
    if (MOVES) {
      state.yaw = towards(state.yaw, { '#icon-left': MOST, '#icon-right': -MOST }[hint] ?? 0, STEP);
      const there = { '#icon-near': SIZES - 1, '#icon-far': 0 }[hint];
      // After coming nearer the head stays there: the next move is judged from where it is.
      if (there !== undefined) state.near = towards(state.near, there, 1);
      else if (hint) state.near = towards(state.near, HOME, 1);
    }
    const picture = pictures[`${state.yaw} ${state.near}`] ?? pictures[`0 ${state.near}`];
    if (picture) paint.drawImage(picture, 0, 0);
  }, 100);
  navigator.mediaDevices.getUserMedia = async () => {
    await decoded;
    return canvas.captureStream(15);
  };
})();
"""


def living_camera(person: int) -> str:
    """The script that puts a person before the page's camera; for ``page.add_init_script``."""
    home = NEAR.index(1.0)
    poses = {f"{yaw} {home}": Pose(yaw=yaw) for yaw in range(-MOST, MOST + 1, STEP)}
    poses |= {f"0 {number}": Pose(near=near) for number, near in enumerate(NEAR)}
    pictures = {}
    for key, pose in poses.items():
        data = cv2.imencode(".jpg", frame(person, pose)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        pictures[key] = base64.b64encode(data.tobytes()).decode()
    script = _CAMERA.replace("PICTURES", json.dumps(pictures))
    for name, value in (("HOME", home), ("MOST", MOST), ("STEP", STEP), ("SIZES", len(NEAR)), ("MOVES", "true")):
        script = script.replace(name, str(value))
    return script
