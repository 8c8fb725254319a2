// Small helpers for the document: find, fill with words, build. Text only ever becomes text nodes.

import { TEXT } from "./text.js";

export const $ = (id) => document.getElementById(id);

// The pieces of a text; each value stands in a <bdi>, so that a name cannot turn the words around it.
function pieces(key, values) {
  if (!(key in TEXT)) return [key];
  return TEXT[key].split(/(\{\w+\})/).filter(Boolean).map((part) => {
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    return name ? element("bdi", {}, String(values[name] ?? "")) : part;
  });
}

// Put a text of text.js into an element. Nothing is touched when it says that already: a live region
// would read it out again.
export function say(target, key, values = {}) {
  const saying = key + JSON.stringify(values);
  if (target.saying === saying) return;
  target.saying = saying;
  target.replaceChildren(...pieces(key, values));
}

// The same as a plain string, for attributes.
export function words(key, values = {}) {
  return (TEXT[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

export function hush(target) {
  target.saying = "";
  target.replaceChildren();
}

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  setIcon(svg.appendChild(document.createElementNS(svg.namespaceURI, "use")).parentNode, name);
  return svg;
}

export function setIcon(svg, name) {
  svg.querySelector("use").setAttribute("href", `#icon-${name}`);
}

// Words of the elements that are in the page from the start.
export function fillPage() {
  for (const target of document.querySelectorAll("[data-text]")) say(target, target.dataset.text);
  for (const target of document.querySelectorAll("[data-label]"))
    target.setAttribute("aria-label", words(target.dataset.label));
}

// What went wrong, as a text: back ends throw errors with a text for people.
export function sayError(target, error) {
  if (error.code && `error.${error.code}` in TEXT) say(target, `error.${error.code}`);
  else if (error.text) say(target, error.text);
  else say(target, "error.unknown", { text: error.message || error.name });
}

// The library's words for people, as a sentence of its own.
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return !begun || /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

export function duration(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}
