// Texts for whoever learns: short ones beside the parts of the page, longer ones under "Learn".

import { byId, h } from "./dom.js";

const HELP = {
  members: ["A cluster is a few members that keep the same log. At most one leads; it alone writes new entries and sends them to the others. As long as a majority talks to each other, nothing is lost and work goes on.", "Kill the leader and watch: the others miss it, one asks for votes in a new term, and a majority makes it leader – usually within a second."],
  log: ["Each column is one entry of the log, the same in every row. A filled one is committed: a majority has it on disk, so it can never be lost or changed. A hollow one is written but not committed yet. ▲ shows how far the member has carried the entries out.", "Colours are terms. Two members that have an entry of the same term at the same place have the same log up to there."],
  timeline: ["A row for each member, coloured by what it was. A dotted line is where a term got its leader. Bars at the bottom show how much was committed: between two leaders there are none, because nobody can commit.", "● the process started   ◆ the membership changed   ▲ snapshot sent   ▼ snapshot installed   ✂ cut off on purpose   ∞ let back"],
  charts: ["“How long calls took here” is about the last five seconds of this member: half of the calls took no longer than the lower line, 99 of 100 no longer than the upper one. A gap means that nothing was asked.", "“A read's confirmation” is how long a linearizable read waits until the leader is sure that it still leads. The other lines are how long members take to answer this one.", "Many entries for each sync of the disk mean that much is written at once: one sync makes all of them durable."],
  history: ["Every change of the store gets the next revision. A key remembers at which it was created and last put; its older values and its deletions (red) can be seen until compaction drops them. To see a key that was deleted, look for its whole name.", "A key with a lease vanishes when the lease is not kept alive: that is how locks and registrations end when their owner dies."],
  keys: ["Shown by the same public API that etcdctl uses, with the rights of whoever is signed in. With a revision you see the store as it was then."],
  slow: ["A request that takes longer than --slow-request-threshold leaves a line here and in the log. Its time is told apart: queue (until this member sent it on), disk (the sync of the log here), quorum (until a majority had it, or had confirmed that the leader leads), apply, read, send.", "The longest part is the reason: a long disk is a slow volume, a long quorum is a slow network or other members, a long send is a client that does not take its answer."],
  watchers: ["A watcher is told of every change to its keys, in order, and misses none. These are the ones that are up to date; one that is behind reads the history first."],
};

const GLOSSARY = [
  ["What is a term?", "Raft counts time in terms: 1, 2, 3 … Each begins with an election and has at most one leader. Every message says which term it is of; whoever hears of a higher one goes over to it, so an old leader that comes back learns at once that it leads no more."],
  ["What is a leader, and why only one?", "The leader puts all commands in one order by appending them to its log. If two members could do that, there would be two orders. It is chosen by a majority, and two majorities always share a member, which votes only once in a term."],
  ["When is something committed?", "When a majority of the voters has the entry on disk. From then on it survives any failure of a minority: whoever is elected later has it, because a majority only votes for members whose log is at least as complete as their own."],
  ["What is the difference between committed and applied?", "Committed entries will be carried out by every member; applied ones have been carried out by this one. A client gets its answer when its entry is committed and applied."],
  ["What happens when the leader dies?", "The others hear nothing for their election timeout, which each draws at random. The first whose patience ends becomes a candidate: a new term, a vote for itself, a request to the others. With a majority it leads. What the old leader had committed is there; what it had only written may be replaced."],
  ["Why does a member that is cut off stop answering writes?", "It cannot reach a majority, so it cannot commit. That is the price of never acknowledging something that could be lost. Reads that must be up to date wait as well; reads that are asked for as serializable are answered from what it has."],
  ["What is a learner?", "A member that receives the log and does not count in majorities. New members begin as learners, so that they can catch up without slowing anybody."],
  ["What is a snapshot for?", "The log would grow for ever. Now and then a member writes its state to disk and drops the log's beginning. A member that needs dropped entries gets the state instead."],
  ["What is a revision?", "The number of the store's newest change, the same on every member. It is not the log index: entries that change no key have an index and no revision."],
  ["What is a lease?", "A time to live that keys can be attached to. Its owner keeps it alive; if it stops, all its keys are deleted together."],
  ["How does this page know?", "The member that you opened it from asks the others how they are, twice a second, over the connections that members use among themselves, and only while somebody looks. A member that it cannot reach is shown as not answering, even if you could reach it."],
];

export function begin() {
  for (const title of document.querySelectorAll("[data-help]")) {
    const id = `help-${title.dataset.help}`;
    const text = h("div", { class: "help-text", id, hidden: true }, HELP[title.dataset.help].map((paragraph) => h("p", {}, paragraph)));
    const button = h("button", { class: "help-button", type: "button", "aria-expanded": "false", "aria-controls": id, "aria-label": `What is this? ${title.textContent}` }, "?");
    button.addEventListener("click", () => {
      text.hidden = !text.hidden;
      button.setAttribute("aria-expanded", String(!text.hidden));
    });
    title.append(button);
    title.after(text);
  }
  byId("glossary").append(h("h2", {}, "What you see, in words"), ...GLOSSARY.map(([question, answer], index) => h("details", { open: index === 0 }, h("summary", {}, question), h("p", {}, answer))));
}
