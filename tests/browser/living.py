"""A living head before the camera: it sees the page and does what the page asks for.

The camera is a canvas of the page's, since a film cannot answer. The arrow on the page is what it follows.
"""

from __future__ import annotations

import base64
import json

import cv2
from acting import Pose, frame

STEP, MOST = 4, 32
"""Degrees between two pictures of a turn, and of the whole turn."""

NEAR = (0.66, 0.72, 0.78, 0.84, 0.92, 1.0, 1.08, 1.17, 1.26, 1.36, 1.46)
"""Sizes of the head while it comes and goes; 1 is where it begins."""

_CAMERA = """
(({ data, home, most, step, sizes }) => {
  const pictures = {}, canvas = document.createElement('canvas'), state = { yaw: 0, near: home };
  canvas.width = 640; canvas.height = 480;
  const paint = canvas.getContext('2d');
  const decoded = Promise.all(Object.entries(data).map(async ([key, text]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    pictures[key] = await createImageBitmap(new Blob([bytes]));
  }));
  const asked = () => {
    const hint = document.querySelector('#hint');
    return hint && !hint.hasAttribute('hidden') ? hint.firstElementChild.getAttribute('href') : '';
  };
  const towards = (from, to, most) => from + Math.sign(to - from) * Math.min(most, Math.abs(to - from));
  setInterval(() => {
    const hint = asked();
    state.yaw = towards(state.yaw, { '#icon-left': most, '#icon-right': -most }[hint] ?? 0, step);
    state.near = towards(state.near, { '#icon-near': sizes - 1, '#icon-far': 0 }[hint] ?? home, 1);
    // A turn begins at home, and coming nearer straight on: every state has a picture.
    const picture = pictures[`${state.yaw} ${state.near}`];
    if (picture) paint.drawImage(picture, 0, 0);
  }, 100);
  if (navigator.mediaDevices) navigator.mediaDevices.getUserMedia = async () => {
    await decoded;
    return canvas.captureStream(15);
  };
})"""


def living_camera(person: int) -> str:
    """The script that puts a person before the page's camera; for ``page.add_init_script``."""
    home = NEAR.index(1.0)
    poses = {f"{yaw} {home}": Pose(yaw=yaw) for yaw in range(-MOST, MOST + 1, STEP)}
    poses |= {f"0 {number}": Pose(near=near) for number, near in enumerate(NEAR)}
    pictures = {}
    for key, pose in poses.items():
        data = cv2.imencode(".jpg", frame(person, pose)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        pictures[key] = base64.b64encode(data.tobytes()).decode()
    told = {"data": pictures, "home": home, "most": MOST, "step": STEP, "sizes": len(NEAR)}
    return f"{_CAMERA}({json.dumps(told)});"
