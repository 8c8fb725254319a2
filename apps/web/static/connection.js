// The server is gone: say so, try again with growing pauses, go on when it is back.

import { $, duration, say } from "./dom.js";

const PAUSES = [1, 2, 4, 8, 15];
const TOLD_MS = 4000;

export class Connection {
  // reopen() asks the server for a new back end, and rejects while it is gone.
  constructor(reopen) {
    this.reopen = reopen;
    this.trying = false;
  }

  // Resolves once the server is back, after going on with back().
  async lost(back) {
    this.back = back;
    if (this.trying) return;
    this.trying = true;
    const banner = $("connection");
    clearTimeout(this.timer);
    banner.hidden = false;
    banner.classList.remove("good");
    for (let round = 0; ; round++) {
      for (let left = PAUSES[Math.min(round, PAUSES.length - 1)]; left > 0; left--) {
        say(banner, "connection.lost", { time: duration(left) });
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
      say(banner, "connection.trying");
      try {
        await this.reopen();
        break;
      } catch (error) {
        if (error.code !== "unreachable") console.warn(error);
      }
    }
    this.trying = false;
    banner.classList.add("good");
    say(banner, "connection.back");
    this.timer = setTimeout(() => (banner.hidden = true), TOLD_MS);
    this.back();
  }
}
