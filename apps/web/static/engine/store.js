// What this browser keeps, in IndexedDB: people and failed logins sealed, a log without names or biometric data.
//
// The key is a WebCrypto AES-256-GCM key that no script can read out. It keeps what is stored from being read by
// looking into the storage; it does not keep it from somebody who copies the whole browser profile.

import { Fault } from "./fault.js";
import { FRESH } from "./lockout.js";

const NAME = "fedfr-edge";
const SCHEMA = "fedfr-edge browser 1";
/** Names, up to 200 characters, fit in; a fixed size tells nothing of their length. */
const HEAD = 2048;
const LONGEST_LOG = 1000;

export class Store {
  static async open(digest) {
    const database = await new Promise((resolve, reject) => {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("kept");
        request.result.createObjectStore("people", { keyPath: "id" });
        request.result.createObjectStore("log", { autoIncrement: true });
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(new Fault("no_storage", `This browser keeps nothing: ${request.error.message}`));
    });
    const store = new Store(database, digest);
    await store.once(async () => {
      if ((await store.get("kept", "key")) === undefined) await store.newKey();
    });
    return store;
  }

  constructor(database, digest) {
    this.database = database;
    this.digest = digest;
  }

  /** Everybody, {id, name, enrolled, images, digest, vector}; name and vector null where the entry was altered. */
  async people() {
    const people = [];
    for (const { id, digest, sealed } of await this.all("people")) {
      let person = { name: null, enrolled: 0, images: 0, vector: null };
      try {
        const bytes = await this.unseal(sealed, [id, digest]);
        const head = JSON.parse(new TextDecoder().decode(bytes.slice(0, HEAD)));
        person = { ...head, vector: new Float32Array(bytes.slice(HEAD).buffer) };
      } catch {
        // Another key sealed it, or its bytes were changed.
      }
      people.push({ id, digest, ...person });
    }
    return people.sort((a, b) => (a.name ?? "").localeCompare(b.name ?? ""));
  }

  /** Add somebody; gives {id, name, enrolled, images}. */
  async add(name, images, vector) {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");
    const head = { name, enrolled: Math.floor(Date.now() / 1000), images };
    const bytes = new Uint8Array(HEAD + 4 * vector.length).fill(0x20, 0, HEAD);
    bytes.set(new TextEncoder().encode(JSON.stringify(head)));
    bytes.set(new Uint8Array(vector.buffer, vector.byteOffset, 4 * vector.length), HEAD);
    await this.put("people", { id, digest: this.digest, sealed: await this.seal(bytes, [id, this.digest]) });
    return { id, ...head };
  }

  async has(id) {
    return (await this.get("people", id)) !== undefined;
  }

  /** Forget somebody. With the last one the key goes, too, and what failed logins there were. */
  remove(id) {
    return this.once(async () => {
      await this.request("people", "readwrite", (people) => people.delete(id));
      if ((await this.all("people")).length > 0) return;
      await this.newKey();
      await this.forgetAttempts();
    });
  }

  /** Not extractable: no script gets its bytes. */
  async newKey() {
    const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
    await this.put("kept", key, "key");
  }

  forgetAttempts() {
    return this.request("kept", "readwrite", (kept) => kept.delete("attempts"));
  }

  /** Failed logins; null where what was stored cannot be read. */
  async attempts() {
    const sealed = await this.get("kept", "attempts");
    if (sealed === undefined) return FRESH;
    try {
      return JSON.parse(new TextDecoder().decode(await this.unseal(sealed, ["attempts"])));
    } catch {
      return null;
    }
  }

  /** Change the failed logins by `change`, one tab at a time. */
  count(change) {
    return this.once(async () => {
      const attempts = await this.attempts();
      if (attempts === null) throw new Fault("damaged", "What this browser stored was altered; load the page again.");
      const bytes = new TextEncoder().encode(JSON.stringify(await change(attempts)));
      await this.put("kept", await this.seal(bytes, ["attempts"]), "attempts");
    });
  }

  /** Write a line of the log: no name, no picture, no embedding. */
  async note(event, person, reason = null, score = null) {
    const rounded = score === null ? null : Math.round(score * 1e4) / 1e4;
    await this.put("log", { time: Math.floor(Date.now() / 1000), event, person, reason, score: rounded });
    const keys = await this.request("log", "readonly", (log) => log.getAllKeys());
    if (keys.length > LONGEST_LOG) {
      const old = IDBKeyRange.upperBound(keys[keys.length - LONGEST_LOG - 1]);
      await this.request("log", "readwrite", (log) => log.delete(old));
    }
  }

  async seal(bytes, about) {
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const data = await crypto.subtle.encrypt(bound(iv, about), await this.get("kept", "key"), bytes);
    return { iv, data: new Uint8Array(data) };
  }

  async unseal({ iv, data }, about) {
    return new Uint8Array(await crypto.subtle.decrypt(bound(iv, about), await this.get("kept", "key"), data));
  }

  once(work) {
    return navigator.locks.request(NAME, work);
  }

  get(where, key) {
    return this.request(where, "readonly", (store) => store.get(key));
  }

  all(where) {
    return this.request(where, "readonly", (store) => store.getAll());
  }

  put(where, value, key) {
    return this.request(where, "readwrite", (store) => store.put(value, key));
  }

  /** Resolves when the change is on disk, not before. */
  request(where, mode, ask) {
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(where, mode, { durability: "strict" });
      const request = ask(transaction.objectStore(where));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () =>
        reject(new Fault("no_storage", `This browser could not store it: ${transaction.error?.message ?? "refused"}`));
    });
  }
}

/** A record opens only as what it was sealed as: its id and the model that made it are bound in. */
function bound(iv, about) {
  return { name: "AES-GCM", iv, additionalData: new TextEncoder().encode(JSON.stringify([SCHEMA, ...about])) };
}
