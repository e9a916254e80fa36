// etcd's JSON API as this page uses it, and who is signed in. Only ever reads.

const TOKEN = "almadia-token";
let token = sessionStorage.getItem(TOKEN);
const asking = new Set();

export const isSignedIn = () => token !== null;
export const onRefused = (listener) => asking.add(listener);

export const address = (path) => new URL(path, document.baseURI);
export const headers = () => token === null ? {} : { Authorization: token };

// Nobody is known, or not any more.
export function refused(why) {
  for (const listener of asking) listener(why);
}

export function signOut() {
  token = null;
  sessionStorage.removeItem(TOKEN);
}

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function read(response) {
  const text = await response.text();
  let json = {};
  try { json = JSON.parse(text); } catch { /* what is no JSON has nothing to say */ }
  if (response.ok) return json;
  const why = json.message ?? `${response.status} ${response.statusText}`;
  if (response.status === 401 || /user name is empty|invalid auth token/.test(why)) refused(why);
  throw new Refusal(response.status, why);
}

export async function post(path, body) {
  const response = await fetch(address(`v3/${path}`), {
    method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers() },
  });
  return read(response);
}

export const get = async (path) => read(await fetch(address(path), { headers: headers() }));

export async function signIn(name, password) {
  const response = await fetch(address("v3/auth/authenticate"), {
    method: "POST", body: JSON.stringify({ name, password }), headers: { "Content-Type": "application/json" },
  });
  const json = await response.json();
  if (!response.ok) throw new Refusal(response.status, json.message ?? "not signed in");
  token = json.token;
  sessionStorage.setItem(TOKEN, token);
}

export const encode = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
export const decode = (text) => Uint8Array.from(atob(text ?? ""), (letter) => letter.charCodeAt(0));
// The alphabet of addresses, without padding.
export const encodeForAddress = (bytes) => encode(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
export const decodeFromAddress = (text) => decode(text.replaceAll("-", "+").replaceAll("_", "/"));
export const toBytes = (text) => new TextEncoder().encode(text);

// Bytes as people read them: text where they are text, else hexadecimal.
export function readable(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!/[\u0000-\u0008\u000e-\u001f]/.test(text)) return text;
  } catch { /* no text */ }
  return `0x${Array.from(bytes.subarray(0, 4096), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

// The first key behind all that begin with these bytes; one zero byte means that there is none.
export function prefixEnd(bytes) {
  for (let last = bytes.length - 1; last >= 0; last -= 1) {
    if (bytes[last] < 255) {
      const end = bytes.slice(0, last + 1);
      end[last] += 1;
      return end;
    }
  }
  return new Uint8Array([0]);
}
