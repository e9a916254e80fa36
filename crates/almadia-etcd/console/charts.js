// Charts over the samples of the last minutes, by uPlot. Made when they are first seen, and anew when colours change.

import uPlot from "./vendor/uplot.js";
import { byId } from "./dom.js";
import { nameOf, state } from "./state.js";

const HEIGHT = 170;
const SHOWN = 360; // samples: three minutes

const rate = (samples, value) => samples.map((sample, index) => {
  const before = samples[index - 1];
  if (!before) return null;
  const [now, then] = [value(sample), value(before)];
  const seconds = (sample.at - before.at) / 1000;
  return now === null || then === null || now < then || seconds <= 0 ? null : (now - then) / seconds;
});

const CHARTS = [
  { id: "chart-commits", series: () => [["committed", "--term-0", (samples) => rate(samples, (sample) => sample.committed)]] },
  { id: "chart-calls", series: () => [
    ["reads", "--term-5", (samples) => rate(samples, (sample) => sample.reads)],
    ["writes", "--term-1", (samples) => rate(samples, (sample) => sample.writes)]] },
  { id: "chart-latency", series: () => [["read", "half of the reads", "--term-5"], ["read", "99 of 100 reads", "--term-2", "p99_us"], ["write", "half of the writes", "--term-1"], ["write", "99 of 100 writes", "--term-3", "p99_us"]]
    .map(([kind, label, colour, which = "p50_us"]) => [label, colour, (samples) => samples.map((sample) => { const known = sample.latency?.[kind]; return known ? known[which] / 1000 : null; })]) },
  { id: "chart-waits", series: () => [
    ["a read's confirmation", "--term-2", (samples) => samples.map((sample) => sample.read)],
    ...others().map((id, index) => [nameOf(id), ["--term-1", "--term-4", "--term-5", "--term-3", "--term-0"][index % 5], (samples) => samples.map((sample) => sample.waits[id] ?? null)])] },
  { id: "chart-groups", series: () => [["entries", "--term-3", (samples) => {
    const [entries, syncs] = [rate(samples, (sample) => sample.entries), rate(samples, (sample) => sample.syncs)];
    return entries.map((value, index) => value === null || !syncs[index] ? null : value / syncs[index]);
  }]] },
];

const others = () => (state.look?.members ?? []).map((member) => member.id).filter((id) => id !== state.own);

const made = new Map();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = (value) => value === null || value === undefined ? "–" : value >= 100 ? Math.round(value).toLocaleString("en") : value >= 10 ? value.toFixed(1) : value.toFixed(2);

function make(chart, host) {
  const series = chart.series();
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const plot = new uPlot({
    width: host.clientWidth, height: HEIGHT, cursor: { drag: { x: false, y: false } }, legend: { live: true },
    scales: { y: { range: (_, min, max) => [0, Math.max(1, (max ?? 1) * 1.1)] } },
    axes: [{ ...axis, space: 70, values: (_, times) => times.map((at) => new Date(at * 1000).toLocaleTimeString("en-GB")) }, { ...axis, size: 46, values: (_, values) => values.map((value) => value.toLocaleString("en")) }],
    series: [{ label: "at", value: (_, at) => at ? new Date(at * 1000).toLocaleTimeString("en-GB") : "–" },
      ...series.map(([label, name]) => ({ label, stroke: colour(name), width: 2, fill: series.length === 1 ? `${colour(name)}22` : undefined, points: { show: false }, value: (_, value) => short(value) }))],
  }, [[], ...series.map(() => [])], host);
  return { plot, series, shape: series.map(([label]) => label).join() };
}

function update(chart) {
  const host = byId(chart.id);
  if (host.clientWidth === 0) return;
  let entry = made.get(chart.id);
  if (!entry || entry.shape !== chart.series().map(([label]) => label).join()) {
    entry?.plot.destroy();
    entry = make(chart, host);
    made.set(chart.id, entry);
  }
  if (entry.plot.width !== host.clientWidth) entry.plot.setSize({ width: host.clientWidth, height: HEIGHT });
  const samples = state.samples.slice(-SHOWN);
  entry.plot.setData([samples.map((sample) => sample.at / 1000), ...entry.series.map(([, , values]) => values(samples))]);
  // Without a pointer on the chart the legend says the newest values.
  if (entry.plot.cursor.idx === null || entry.plot.cursor.idx === undefined) entry.plot.setLegend({ idx: samples.length - 1 });
}

export function draw() {
  if (state.samples.length > 1) CHARTS.forEach(update);
}

export function begin() {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { plot } of made.values()) plot.destroy();
    made.clear();
    draw();
  });
}
