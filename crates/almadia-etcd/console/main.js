// Puts the page together: which view is shown, keys that do something, who is signed in, and drawing what has changed.

import * as charts from "./charts.js";
import * as help from "./help.js";
import * as keys from "./keys.js";
import * as live from "./live.js";
import * as log from "./log.js";
import * as members from "./members.js";
import * as requests from "./requests.js";
import * as timeline from "./timeline.js";
import { isSignedIn, onRefused, signIn, signOut } from "./api.js";
import { byId } from "./dom.js";
import { onChange, state } from "./state.js";

const VIEWS = ["cluster", "keys", "requests", "learn"];
let view = null;

function open(name) {
  const next = VIEWS.includes(name) ? name : "cluster";
  if (next === view) return;
  view = next;
  for (const one of VIEWS) {
    byId(`view-${one}`).hidden = one !== view;
    const tab = byId(`tab-${one}`);
    tab.setAttribute("aria-selected", String(one === view));
    tab.tabIndex = one === view ? 0 : -1;
  }
  if (view === "requests") requests.open();
  else requests.close();
  if (view === "keys") keys.find();
  draw();
}

const go = (name) => { location.hash = name; };

function draw() {
  if (!state.look || document.hidden) return;
  const [mood, title, more] = members.headline();
  byId("headline").dataset.mood = mood;
  // Set only when it changes: what is read aloud should not be repeated twice a second.
  if (byId("headline-text").textContent !== title) byId("headline-text").textContent = title;
  byId("headline-more").textContent = more;
  byId("cluster-name").textContent = `cluster ${state.cluster}`;
  byId("release").textContent = `Almadia ${state.release}, speaks etcd ${state.etcd}`;
  document.title = `${mood === "well" ? "" : "⚠ "}${title} · Almadia`;
  if (view !== "cluster") return;
  members.draw();
  log.draw();
  timeline.draw();
  charts.draw();
}

function tabs() {
  const list = document.querySelector("[role=tablist]");
  list.addEventListener("click", (event) => { if (event.target.dataset.view) go(event.target.dataset.view); });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = VIEWS[(VIEWS.indexOf(view) + step + VIEWS.length) % VIEWS.length];
    go(next);
    byId(`tab-${next}`).focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName) || byId("sign-in").open) return;
    const number = Number(event.key);
    if (number >= 1 && number <= VIEWS.length) go(VIEWS[number - 1]);
    if (event.key === "/") {
      event.preventDefault();
      go("keys");
      open("keys");
      byId("finder-prefix").focus();
    }
  });
}

function signing() {
  const dialog = byId("sign-in");
  const out = byId("sign-out");
  out.hidden = !isSignedIn();
  onRefused((why) => {
    if (dialog.open) return;
    byId("sign-in-error").textContent = isSignedIn() ? why : "";
    signOut();
    out.hidden = true;
    dialog.showModal();
  });
  byId("sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await signIn(byId("sign-in-user").value, byId("sign-in-password").value);
      byId("sign-in-password").value = "";
      out.hidden = false;
      dialog.close();
      live.again();
      if (view === "keys") keys.find();
    } catch (error) { byId("sign-in-error").textContent = error.message; }
  });
  out.addEventListener("click", () => { signOut(); out.hidden = true; live.again(); });
}

function tell(how, words) {
  const connection = byId("connection");
  connection.dataset.state = how;
  if (connection.textContent !== words) connection.textContent = words;
}

help.begin();
tabs();
signing();
keys.begin();
timeline.begin();
charts.begin();
onChange(draw);
document.addEventListener("visibilitychange", draw);
window.addEventListener("hashchange", () => open(location.hash.slice(1)));
open(location.hash.slice(1));
live.begin(tell);
