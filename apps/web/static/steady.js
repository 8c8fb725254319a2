// Advice that can be read: replies come many times a second, a line stays for a moment.

import { hush, say } from "./dom.js";

const STAYS_MS = 900;

export class Steady {
  constructor(target) {
    this.target = target;
    this.until = 0;
    this.next = null;
  }

  now(key, values = {}) {
    this.clear();
    say(this.target, key, values);
    this.until = performance.now() + STAYS_MS;
  }

  // What holds now; said once the last line stood long enough, if it still holds then.
  soon(key, values = {}) {
    this.next = [key, values];
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.until = performance.now() + STAYS_MS;
      say(this.target, ...this.next);
    }, Math.max(0, this.until - performance.now()));
  }

  clear() {
    clearTimeout(this.timer);
    this.timer = null;
    this.until = 0;
    hush(this.target);
  }
}
