// The webcam: opened on demand, one 640×480 frame at a time, and noticed when it goes away.

export const WIDTH = 640, HEIGHT = 480;
const STALLED_MS = 6000;

const CODES = {
  NotAllowedError: "refused", SecurityError: "refused", NotFoundError: "none", OverconstrainedError: "none",
  NotReadableError: "busy", AbortError: "busy",
};

export class CameraError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
    this.key = `camera.${code}`;
  }
}

export class Camera {
  constructor(video) {
    this.video = video;
    this.stream = null;
    this.canvas = document.createElement("canvas");
    this.canvas.width = WIDTH;
    this.canvas.height = HEIGHT;
    this.context = this.canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  }

  async open() {
    if (!navigator.mediaDevices?.getUserMedia) throw new CameraError("insecure");
    this.closed = false;
    const wish = { width: { ideal: WIDTH }, height: { ideal: HEIGHT }, facingMode: "user" };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: wish, audio: false });
      if (this.closed) return this.close();
      this.video.srcObject = this.stream;
      // A camera without a single picture would be waited for without end.
      await Promise.race([this.video.play(), after(STALLED_MS, new CameraError("lost"))]);
    } catch (error) {
      if (this.closed) return;
      this.close();
      throw error instanceof CameraError ? error : new CameraError(CODES[error.name] ?? "failed");
    }
  }

  get alive() {
    return this.stream?.getVideoTracks().some((track) => track.readyState === "live") ?? false;
  }

  // The next frame, on this camera's one canvas, and when it came (milliseconds of performance.now).
  async frame() {
    const deadline = performance.now() + STALLED_MS;
    while (!(await nextPicture(this.video))) {
      const over = performance.now() > deadline && document.visibilityState === "visible";
      if (this.stream && (!this.alive || over)) throw new CameraError("lost");
      if (!this.stream) return null;
    }
    if (!this.alive) throw new CameraError("lost");
    const at = performance.now();
    this.context.drawImage(this.video, ...crop(this.video.videoWidth, this.video.videoHeight),
      0, 0, WIDTH, HEIGHT);
    return { canvas: this.canvas, at };
  }

  close() {
    this.closed = true;
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    // Another camera may show in the same place by now.
    if (this.stream && this.video.srcObject === this.stream) this.video.srcObject = null;
    this.stream = null;
  }
}

function after(milliseconds, error) {
  return new Promise((_, reject) => setTimeout(reject, milliseconds, error));
}

// Whether a new picture came within a moment.
function nextPicture(video) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => finish(false), 300);
    const finish = (came) => {
      clearTimeout(timer);
      if (!came && handle !== undefined) video.cancelVideoFrameCallback?.(handle);
      resolve(came);
    };
    const handle = video.requestVideoFrameCallback
      ? video.requestVideoFrameCallback(() => finish(true))
      : void setTimeout(() => finish(video.readyState >= 2), 40);
  });
}

// The middle of the picture in the shape of a frame, as the page shows it.
export function crop(width, height) {
  const scale = Math.min(width / WIDTH, height / HEIGHT);
  const wide = WIDTH * scale, high = HEIGHT * scale;
  return [(width - wide) / 2, (height - high) / 2, wide, high];
}
