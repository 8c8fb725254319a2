// The back end that asks the server. The same interface as engine/local.js.

const PATIENCE_MS = 20000;

export class BackendError extends Error {
  constructor(code, text = "") {
    super(text || code);
    this.code = code;
    this.text = text;
  }
}

// One request; the server's refusal becomes an error with its code and text.
async function call(method, path, { csrf, body, type } = {}) {
  const headers = {};
  if (csrf) headers["X-CSRF"] = csrf;
  if (type) headers["Content-Type"] = type;
  let response;
  try {
    response = await fetch(path, { method, headers, body, cache: "no-store", credentials: "same-origin" });
  } catch {
    throw new BackendError("unreachable");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new BackendError(answer?.error?.code ?? `http_${response.status}`, answer?.error?.text);
}

export async function openBackend() {
  const info = {};
  let pause = null, since = 0;
  // The server's seconds hold from when they were told.
  const remaining = () => {
    if (!pause || pause.wait_seconds === null) return pause;
    const left = pause.wait_seconds - (performance.now() - since) / 1000;
    return left > 0 ? { ...pause, wait_seconds: left } : null;
  };
  Object.defineProperty(info, "locked", { enumerable: true, get: remaining });
  const refresh = async () => {
    const { locked, ...told } = await call("GET", "api/info");
    [pause, since] = [locked, performance.now()];
    Object.assign(info, told);
  };
  // A refusal may begin a pause.
  const checked = async (reply) => {
    if (reply.login?.verdict?.accepted === false) await refresh().catch(() => {});
    return reply;
  };
  await refresh();
  // The server forgets sessions; then the request is made once more in a new one.
  const ask = async (method, path, more) => {
    try {
      return await call(method, path, { ...more, csrf: info.csrf });
    } catch (error) {
      if (error.code !== "no_session") throw error;
      await refresh();
      return call(method, path, { ...more, csrf: info.csrf });
    }
  };
  return {
    info,
    people: () => ask("GET", "api/people"),
    remove: (id) => ask("DELETE", `api/people/${encodeURIComponent(id)}`),
    log: () => ask("GET", "api/log"),
    async become_operator(token) {
      await ask("POST", "api/operator", { body: JSON.stringify({ token }), type: "application/json" });
      await refresh();
    },
    async begin(request) {
      await refresh();
      return connect({ ...request, csrf: info.csrf }, checked);
    },
    async photo({ kind, claim, files }) {
      const query = new URLSearchParams({ kind });
      if (claim) query.set("claim", claim);
      return checked(await ask("POST", `api/photo?${query}`, { body: files[0], type: files[0].type }));
    },
  };
}

// A websocket that answers each picture with one message.
function connect(request, checked) {
  const address = new URL("api/camera", document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address);
    let waiting = null, failed = null;
    const early = []; // replies that nobody asked for: face login pauses, or time is over
    const ask = (data) => {
      if (early.length) return early.shift();
      if (failed) throw failed;
      return new Promise((give, refuse) => {
        const timer = setTimeout(() => fail(new BackendError("unreachable")), PATIENCE_MS);
        waiting = (answer) => {
          clearTimeout(timer);
          waiting = null;
          if (answer instanceof Error) refuse(answer);
          else give(answer);
        };
        socket.send(data);
      });
    };
    const session = {
      onlost: null,
      look: async (canvas) => checked(await ask(await asJpeg(canvas))),
      // No more photographs will come.
      finish: async () => ask("finish"),
      close() {
        fail(new BackendError("closed"));
      },
    };
    const fail = (error) => {
      if (failed) return;
      failed = error;
      socket.close();
      reject(error);
      if (waiting) waiting(error);
      else if (!early.length) session.onlost?.(error);
    };
    socket.onopen = () => {
      socket.send(JSON.stringify(request));
      resolve(session);
    };
    socket.onmessage = ({ data }) => {
      const reply = JSON.parse(data);
      if (reply.error) fail(new BackendError(reply.error.code, reply.error.text));
      else if (waiting) waiting(reply);
      else early.push(reply);
    };
    socket.onclose = () => fail(new BackendError("unreachable"));
  });
}

function asJpeg(canvas) {
  return new Promise((resolve, reject) => {
    const done = (blob) => (blob ? resolve(blob) : reject(new BackendError("picture")));
    canvas.toBlob(done, "image/jpeg", 0.92);
  });
}
