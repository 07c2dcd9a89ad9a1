// ROC and precision over recall, with their 95 % bands, and where the threshold stands on them.

import { data, labeled } from "./data";
import { byId, svg, whenWide } from "./dom";
import { on, state } from "./state";
import { curve, percent, type Point } from "./stats";

const MARGIN = { left: 46, right: 12, top: 10, bottom: 40 };

type Axes = { x: (point: Point) => number; y: (point: Point) => number; across: string; up: string };

export function curves(): void {
  const measures = data.measures;
  if (!measures) return;
  const of = (label: number) => labeled.filter((image) => image.label === label).map((image) => image.score!);
  const points = curve(measures.against === "images" ? of(0) : data.calibration.scores, of(1));
  one("roc", points, measures.roc_band, {
    x: (point) => point.falseRate,
    y: (point) => point.detected,
    across: "good images flagged",
    up: "anomalous images flagged",
  });
  one("precision", points.slice(1), measures.precision_band, {
    x: (point) => point.detected,
    y: (point) => point.precision,
    across: "anomalous images flagged (recall)",
    up: "flagged ones that are anomalous (precision)",
  });
}

/** The last point whose images are all above the threshold. */
function current(points: Point[]): Point | undefined {
  let found: Point | undefined;
  for (const point of points) if (point.threshold > state.threshold) found = point;
  return found;
}

function one(id: string, points: Point[], band: [number[], number[]], axes: Axes): void {
  const holder = byId(id);
  const dot = svg("circle", { class: "here", r: 6 });
  let place = () => {};
  whenWide(holder, (wide) => {
    const height = Math.min(wide, 380);
    const x = (share: number) => MARGIN.left + share * (wide - MARGIN.left - MARGIN.right);
    const y = (share: number) => height - MARGIN.bottom - share * (height - MARGIN.bottom - MARGIN.top);
    const chart = svg("svg", { width: wide, height, class: "chart", role: "img" });
    chart.setAttribute("aria-label", `${axes.up} over ${axes.across}; the table says the numbers`);
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      chart.append(
        svg("line", { class: "grid", x1: x(0), x2: x(1), y1: y(share), y2: y(share) }),
        svg("text", { x: x(0) - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share)),
        svg("text", { x: x(share), y: y(0) + 17, "text-anchor": share === 1 ? "end" : "middle" }, percent(share)),
      );
    }
    const at = (i: number) => x(i / (band[0].length - 1)).toFixed(1);
    const lower = band[0].map((share, i) => `${at(i)},${y(share).toFixed(1)}`);
    const upper = band[1].map((share, i) => `${at(i)},${y(share).toFixed(1)}`);
    const line = points.map((point) => `${x(axes.x(point)).toFixed(1)},${y(axes.y(point)).toFixed(1)}`);
    chart.append(
      svg("polygon", { class: "band", points: [...lower, ...upper.reverse()].join(" ") }),
      svg("polyline", { class: "curve", points: line.join(" ") }),
      svg("text", { x: (x(0) + x(1)) / 2, y: height - 4, "text-anchor": "middle", class: "title" }, axes.across),
      dot,
    );
    holder.replaceChildren(chart);
    place = () => {
      const point = current(points);
      dot.setAttribute("visibility", point ? "visible" : "hidden");
      if (!point) return;
      dot.setAttribute("cx", x(axes.x(point)).toFixed(1));
      dot.setAttribute("cy", y(axes.y(point)).toFixed(1));
    };
    place();
  });
  on("threshold", () => place());
}
