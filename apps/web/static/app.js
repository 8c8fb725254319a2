// The page: opens the back end that the server names, shows the view that the address names.

import { Connection } from "./connection.js";
import { $, fillPage, hush, say, sayError } from "./dom.js";
import { Enrol } from "./enrol.js";
import { History } from "./history.js";
import { Login } from "./login.js";
import { People } from "./people.js";
import { setStage } from "./stage.js";

const OPERATOR = "operator=";

class App {
  constructor() {
    this.backend = null;
    this.connection = new Connection(() => this.open());
    this.views = { login: new Login(this), enrol: new Enrol(this), people: new People(this), log: new History(this) };
    this.view = null;
    addEventListener("hashchange", () => this.follow());
    $("skip").addEventListener("click", (event) => {
      event.preventDefault();
      $("main").focus();
    });
    $("operator-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      if (await this.unlock($("operator-token").value)) this.show(this.view);
    });
  }

  async start() {
    fillPage();
    setStage("off");
    say($("mode"), "loading");
    try {
      await this.open();
    } catch (error) {
      if (error.code === "unreachable") return this.connection.lost(() => this.follow());
      say($("connection"), "connection.start", { text: error.text ?? error.message });
      $("connection").hidden = false;
      return;
    }
    await this.follow();
  }

  async open() {
    const { openBackend } = await import((await mode()) === "browser" ? "./engine/local.js" : "./remote.js");
    this.backend = await openBackend();
    const { info } = this.backend;
    say($("mode"), `mode.${info.mode}`);
    say($("privacy"), `privacy.${info.mode}`, { host: location.host });
    document.documentElement.dataset.mode = info.mode;
  }

  // Show what the address's fragment names. An operator's key in it is used once and taken out of it.
  async follow() {
    const given = location.hash.slice(1);
    let refused = false;
    if (given.startsWith(OPERATOR)) {
      history.replaceState(null, "", location.pathname + location.search);
      refused = !(await this.unlock(given));
    }
    // Read anew: somebody may have gone on meanwhile.
    const name = location.hash.slice(1);
    this.show(name in this.views ? name : "login");
    if (refused) this.showOperator();
  }

  show(name) {
    this.views[this.view]?.leave();
    this.view = name;
    for (const each of Object.keys(this.views)) {
      const current = each === name;
      $(`view-${each}`).hidden = !current;
      const link = document.querySelector(`nav [data-view="${each}"]`);
      if (current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    $("capture").hidden = !["login", "enrol"].includes(name);
    this.hideOperator();
    if (name !== "login" && !this.backend.info.operator) this.bar();
    else this.views[name].enter();
  }

  // The view is the operator's: ask for the key instead. The server may have forgotten that it had it.
  bar() {
    this.backend.info.operator = false;
    $("capture").hidden = $(`view-${this.view}`).hidden = true;
    this.showOperator();
  }

  // In the browser's own mode there is no other operator than whoever sits there.
  showOperator() {
    $("operator").hidden = this.backend.info.mode === "browser";
  }

  hideOperator() {
    $("operator").hidden = true;
  }

  // Takes the key, or the whole address that holds it, and does not keep it. Resolves to whether it was right.
  async unlock(text) {
    const token = text.split(OPERATOR).pop().trim();
    $("operator-token").value = "";
    hush($("operator-error"));
    if (!token) {
      say($("operator-error"), "operator.empty");
      return false;
    }
    try {
      await this.backend.become_operator(token);
      return true;
    } catch (error) {
      if (error.code === "unreachable") this.connection.lost(() => this.follow());
      else sayError($("operator-error"), error);
      return false;
    }
  }
}

async function mode() {
  try {
    return (await (await fetch("api/info", { cache: "no-store" })).json()).mode;
  } catch {
    throw Object.assign(new Error("unreachable"), { code: "unreachable" });
  }
}

new App().start();
