// Scores of calibration and of new images, and the threshold between: dragged, touched, or moved by keys.

import { counted, data } from "./data";
import { byId, el, svg, ticks, whenWide } from "./dom";
import { on, ranks, setThreshold, state } from "./state";
import { percent, short } from "./stats";

const HEIGHT = 240;
const MARGIN = { left: 44, right: 16, top: 26, bottom: 40 };
const calibration = data.calibration.scores;
const kinds = [
  { name: "new, labeled good", class: "good", values: scores(0) },
  { name: "new, labeled anomalous", class: "bad", values: scores(1) },
  { name: "new, without label", class: "plain", values: scores(null) },
].filter((kind) => kind.values.length > 0);

function scores(label: 0 | 1 | null): number[] {
  return counted.filter((image) => image.label === label).map((image) => image.score!);
}

function ends(values: number[]): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

const [lowest, highest] = ends([...calibration, ...counted.map((image) => image.score!), data.threshold]);
const [calm, loud] = ends([...calibration, data.threshold]);
const width = loud - calm || 1;
/** Far scores would squeeze all that matters into one bar; so there is a closer look, unless it shows all. */
const near: [number, number] = [Math.max(lowest, calm - width), Math.min(highest, loud + 1.5 * width)];
const farApart = highest - lowest > 1.5 * (near[1] - near[0]);
let close = highest - lowest > 6 * width;

export function histogram(): void {
  const holder = byId("histogram");
  const value = byId<HTMLInputElement>("threshold-value");
  const reset = byId<HTMLButtonElement>("threshold-reset");
  const closer = byId<HTMLInputElement>("histogram-close");
  closer.checked = close;
  closer.closest("label")!.hidden = !farApart;
  let size = 0;
  let scale = (score: number) => score;
  let inverse = (x: number) => x;
  let handle: SVGGElement | null = null;

  const range = (): [number, number] => {
    const [low, high] = close ? near : [lowest, highest];
    const pad = (high - low || 1) * 0.03;
    return [low - pad, high + pad];
  };

  const place = () => {
    const [low, high] = range();
    const x = scale(Math.min(high, Math.max(low, state.threshold)));
    handle?.setAttribute("transform", `translate(${x.toFixed(2)} 0)`);
    handle?.setAttribute("aria-valuenow", String(state.threshold));
    const words = `${short(state.threshold)}, at most ${percent(ranks.promised(state.threshold))} false alarms promised`;
    handle?.setAttribute("aria-valuetext", words);
    holder.querySelector(".flagged")?.setAttribute("x", x.toFixed(2));
    holder.querySelector(".flagged")?.setAttribute("width", Math.max(0, size - MARGIN.right - x).toFixed(2));
    if (document.activeElement !== value) value.value = String(Number(state.threshold.toPrecision(6)));
    reset.disabled = state.threshold === data.threshold;
  };

  const draw = (wide: number) => {
    size = wide;
    const [low, high] = range();
    const inner = wide - MARGIN.left - MARGIN.right;
    scale = (score) => MARGIN.left + ((score - low) / (high - low)) * inner;
    inverse = (x) => low + ((x - MARGIN.left) / inner) * (high - low);
    const focused = document.activeElement === handle;
    const chart = plot(wide, low, high, scale);
    handle = thumb(range);
    chart.append(handle);
    drag(chart, inverse, handle);
    holder.replaceChildren(chart);
    place();
    if (focused) handle.focus();
  };

  whenWide(holder, draw);
  on("threshold", place);
  closer.addEventListener("change", () => {
    close = closer.checked;
    draw(size);
  });
  value.addEventListener("change", () => setThreshold(value.valueAsNumber));
  value.addEventListener("blur", place);
  reset.addEventListener("click", () => setThreshold(data.threshold));
  legend();
}

function legend(): void {
  const names = [{ name: `calibration (${calibration.length})`, class: "calibration" }];
  for (const kind of kinds) names.push({ name: `${kind.name} (${kind.values.length})`, class: kind.class });
  byId("histogram-legend").replaceChildren(
    ...names.map((kind) => el("li", {}, el("span", { class: `swatch ${kind.class}` }), kind.name)),
  );
}

/** Bars of the new images, the outline of the calibration images: each kind as shares of its own number. */
function plot(wide: number, low: number, high: number, scale: (score: number) => number): SVGSVGElement {
  const inner = HEIGHT - MARGIN.top - MARGIN.bottom;
  const bins = Math.max(12, Math.min(60, Math.round((wide - MARGIN.left - MARGIN.right) / 18)));
  const shares = (values: number[]) => {
    const found = new Array<number>(bins).fill(0);
    for (const value of values) {
      const bin = Math.floor(((value - low) / (high - low)) * bins);
      if (bin >= 0 && bin < bins) found[bin]! += 1 / values.length;
    }
    return found;
  };
  const rows = kinds.map((kind) => ({ ...kind, shares: shares(kind.values) }));
  const held = shares(calibration);
  const top = Math.max(0.01, ...held, ...rows.flatMap((row) => row.shares));
  const y = (share: number) => MARGIN.top + inner * (1 - share / top);
  const edge = (bin: number) => scale(low + ((high - low) * bin) / bins);
  const base = y(0);
  const chart = svg("svg", { width: wide, height: HEIGHT, class: "chart", role: "group" });
  chart.setAttribute("aria-label", "Histogram of scores with a threshold that can be moved");
  for (const tick of ticks(0, top, 4)) {
    chart.append(
      svg("line", { class: "grid", x1: MARGIN.left, x2: wide - MARGIN.right, y1: y(tick), y2: y(tick) }),
      svg("text", { x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" }, percent(tick)),
    );
  }
  chart.append(svg("rect", { class: "flagged", y: MARGIN.top, height: inner, x: 0, width: 0 }));
  const gap = (edge(1) - edge(0)) / (rows.length || 1);
  rows.forEach((row, kind) => {
    row.shares.forEach((share, bin) => {
      if (share === 0) return;
      const left = edge(bin) + kind * gap;
      const bar = { x: left + 0.5, width: Math.max(1, gap - 1), y: y(share), height: base - y(share) };
      chart.append(svg("rect", { class: `bar ${row.class}`, ...bar }));
    });
  });
  const steps = held.map((share, bin) => `V${y(share).toFixed(1)}H${edge(bin + 1).toFixed(1)}`).join("");
  chart.append(
    svg("path", { class: "outline", d: `M${edge(0).toFixed(1)} ${base}${steps}V${base}` }),
    svg("line", { class: "axis", x1: MARGIN.left, x2: wide - MARGIN.right, y1: base, y2: base }),
  );
  for (const tick of ticks(low, high, Math.max(4, Math.floor(wide / 100)))) {
    chart.append(svg("text", { x: scale(tick), y: base + 17, "text-anchor": "middle" }, short(tick)));
  }
  const title = close ? "score (closer look: far scores lie outside)" : "score";
  chart.append(svg("text", { x: wide / 2, y: HEIGHT - 4, "text-anchor": "middle", class: "title" }, title));
  return chart;
}

/** The threshold as a slider that keys can move. */
function thumb(range: () => [number, number]): SVGGElement {
  const [low, high] = range();
  const handle = svg(
    "g",
    {
      class: "threshold",
      id: "threshold",
      role: "slider",
      tabindex: 0,
      "aria-label": "Threshold",
      "aria-valuemin": low,
      "aria-valuemax": high,
      "aria-orientation": "horizontal",
    },
    svg("line", { y1: MARGIN.top - 4, y2: HEIGHT - MARGIN.bottom }),
    svg("rect", { class: "grip", x: -9, y: 3, width: 18, height: 20, rx: 5 }),
    svg("path", { class: "ridges", d: "M-3 9V17M0 9V17M3 9V17" }),
  );
  handle.addEventListener("keydown", (event) => {
    const [from, to] = range();
    const step = (to - from) / (event.shiftKey ? 20 : 200);
    const moves: Record<string, number> = {
      ArrowLeft: state.threshold - step,
      ArrowDown: state.threshold - step,
      ArrowRight: state.threshold + step,
      ArrowUp: state.threshold + step,
      PageDown: state.threshold - (to - from) / 20,
      PageUp: state.threshold + (to - from) / 20,
      Home: from,
      End: to,
    };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    setThreshold(Math.min(to, Math.max(from, next)));
  });
  return handle;
}

/** Mouse and touch: the threshold follows from wherever the chart is pressed. */
function drag(chart: SVGSVGElement, inverse: (x: number) => number, handle: SVGGElement): void {
  const move = (event: PointerEvent) => {
    const wide = chart.clientWidth;
    const x = event.clientX - chart.getBoundingClientRect().left;
    setThreshold(inverse(Math.min(wide - MARGIN.right, Math.max(MARGIN.left, x))));
  };
  chart.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    chart.setPointerCapture(event.pointerId);
    event.preventDefault();
    handle.focus({ preventScroll: true });
    move(event);
  });
  chart.addEventListener("pointermove", (event) => {
    if (chart.hasPointerCapture(event.pointerId)) move(event);
  });
}
