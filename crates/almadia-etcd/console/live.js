// The stream of looks, by fetch, since an EventSource cannot say who is signed in. Comes again when it ends.

import { address, headers, refused } from "./api.js";
import { look, welcome } from "./state.js";

const AGAIN_MIN = 500;
const AGAIN_MAX = 5000;
// Two looks a second are promised: without any for this long the connection is dead, whatever it says.
const SILENCE_MAX = 6000;

const HANDLERS = { look, welcome };
let controller = null;
let wake = () => {};

function take(block) {
  let name = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  HANDLERS[name]?.(JSON.parse(data));
}

async function listen(tell) {
  controller = new AbortController();
  let silence = setTimeout(() => controller.abort(), SILENCE_MAX);
  try {
    const response = await fetch(address("console/stream"), { headers: headers(), signal: controller.signal });
    if (!response.ok) {
      const why = await response.json().then((json) => json.message, () => response.statusText);
      if (response.status === 401 || response.status === 400) { refused(why); return "refused"; }
      tell("lost", why);
      return response.status === 403 ? "forbidden" : "lost";
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return "ended";
      clearTimeout(silence);
      silence = setTimeout(() => controller.abort(), SILENCE_MAX);
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      if (blocks.length > 0) tell("live", "live");
      blocks.forEach(take);
    }
  } catch {
    return "lost";
  } finally {
    clearTimeout(silence);
  }
}

// Listens for ever; `tell` hears how the connection is.
export async function begin(tell) {
  let pause = AGAIN_MIN;
  for (;;) {
    const began = Date.now();
    const how = await listen(tell);
    if (how === "refused") tell("lost", "signed out");
    else if (how === "forbidden") tell("lost", "not allowed: needs the role root");
    else tell("lost", "this member does not answer; trying again");
    if (Date.now() - began > AGAIN_MAX) pause = AGAIN_MIN;
    const waiting = how === "refused" || how === "forbidden" ? 3_600_000 : pause;
    await new Promise((resolve) => { wake = resolve; setTimeout(resolve, waiting); });
    pause = Math.min(pause * 2, AGAIN_MAX);
  }
}

// Somebody has signed in or out: ask anew.
export function again() {
  controller?.abort();
  wake();
}
