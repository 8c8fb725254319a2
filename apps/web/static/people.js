// Who is enrolled, and deleting them.

import { $, element, say, sayError, words } from "./dom.js";

export class People {
  constructor(app) {
    this.app = app;
  }

  async enter() {
    await this.load();
  }

  leave() {}

  async load(done = null) {
    try {
      const people = await this.app.backend.people();
      $("people-list").replaceChildren(...people.map((person) => this.row(person)));
      if (done) say($("people-status"), "people.deleted", done);
      else if (people.length) say($("people-status"), "people.count", { count: people.length });
      else say($("people-status"), "people.none");
    } catch (error) {
      this.fail(error);
    }
  }

  row(person) {
    const since = element("span", { class: "quiet" });
    const date = new Date(person.enrolled * 1000).toLocaleDateString(undefined, { dateStyle: "medium" });
    say(since, "people.since", { date, images: person.images });
    const button = element("button", { type: "button", class: "danger", "data-person": person.id,
      "aria-label": words("people.delete_label", { name: person.name }) });
    say(button, "people.delete");
    button.addEventListener("click", () => this.remove(person));
    return element("li", {}, element("div", {}, element("bdi", { class: "name" }, person.name), since), button);
  }

  async remove(person) {
    say($("confirm-question"), "people.question", { name: person.name });
    const dialog = $("confirm");
    dialog.returnValue = "no";
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    if (dialog.returnValue !== "yes") return;
    try {
      await this.app.backend.remove(person.id);
      await this.load({ name: person.name });
      $("people-heading").focus();
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error) {
    if (error.code === "unreachable") this.app.connection.lost(() => this.app.show("people"));
    else if (error.code === "not_operator") this.app.bar();
    else sayError($("people-status"), error);
  }
}
