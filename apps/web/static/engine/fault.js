/** What a person should be told: a stable code, and one line of text. */
export class Fault extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
    this.text = text;
  }
}

/** Any error as {code, text}: what crosses from the worker to the page. */
export function told(error) {
  return { code: error.code && error.text ? error.code : "failed", text: error.text ?? String(error.message ?? error) };
}
