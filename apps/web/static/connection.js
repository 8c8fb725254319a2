// The server is gone: say so, try again with growing pauses, go on when it is back.

import { $, duration, element, say } from "./dom.js";

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
    // The seconds are to be seen; a screen reader would read out each of them.
    const seconds = element("span", { "aria-hidden": "true" });
    say(banner, "connection.lost");
    banner.append(seconds);
    for (let round = 0; ; round++) {
      for (let left = PAUSES[Math.min(round, PAUSES.length - 1)]; left > 0; left--) {
        seconds.textContent = ` ${duration(left)}`;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
      seconds.textContent = " …";
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
