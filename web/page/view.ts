// What is seen of results: one large, and a list of all, the newest first.

import { byId, el } from "../report/dom";
import { COLORS } from "../report/heat";
import type { Box, Model, Verdict } from "./contract";
import { type Entry, digits, headline, meaning } from "./words";

const MOST = 1000; // results in the list

interface Shown extends Entry {
  card: HTMLElement;
  address: string; // of the picture
}

/** A canvas of the heatmap's cells, clear where it is calm. */
function heatmap(heat: Float32Array, [rows, columns]: [number, number], [low, high]: readonly [number, number]) {
  const canvas = el("canvas", { class: "heat", "aria-hidden": "true", width: columns, height: rows });
  const pixels = new ImageData(columns, rows);
  heat.forEach((value, i) => {
    const level = Math.round(255 * Math.min(1, Math.max(0, (value - low) / (high - low))));
    pixels.data.set(COLORS.subarray(4 * level, 4 * level + 4), 4 * i);
  });
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return canvas;
}

/** Dark where pixels do not count. */
function shade(model: Model): HTMLCanvasElement | null {
  if (model.area === null) return null;
  const { width, height } = model.input;
  const canvas = el("canvas", { class: "shade", "aria-hidden": "true", width, height });
  const pixels = new ImageData(width, height);
  let at = 0;
  model.area.forEach((length, i) => {
    if (i % 2 === 0) for (let k = at; k < at + length; k++) pixels.data[4 * k + 3] = 170;
    at += length;
  });
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  return canvas;
}

function laid<E extends HTMLElement>(layer: E, [left, upper, right, lower]: Box): E {
  layer.style.left = `${100 * left}%`;
  layer.style.top = `${100 * upper}%`;
  layer.style.width = `${100 * (right - left)}%`;
  layer.style.height = `${100 * (lower - upper)}%`;
  return layer;
}

async function addressOf({ picture }: Verdict): Promise<string> {
  const canvas = el("canvas", { width: picture.width, height: picture.height });
  canvas.getContext("2d")!.putImageData(new ImageData(picture.rgba, picture.width, picture.height), 0, 0);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  return blob === null ? "" : URL.createObjectURL(blob);
}

export class Results {
  private readonly all: Shown[] = []; // the oldest first
  private current: Shown | null = null;

  constructor(private readonly model: Model) {
    byId("results").addEventListener("click", (event) => {
      const card = (event.target as Element).closest(".card");
      const found = this.all.find((shown) => shown.card === card);
      if (found) this.show(found);
    });
  }

  get entries(): Entry[] {
    return this.all;
  }

  async add(entry: Entry): Promise<void> {
    const address = entry.verdict === null ? "" : await addressOf(entry.verdict);
    const card = el("button", { class: `card ${status(entry)}`, type: "button" }, this.frame(entry, address));
    const score = entry.verdict === null ? "" : digits(entry.verdict.score);
    card.append(
      el("span", { class: "verdict" }, headline(entry)),
      el("span", { class: "number" }, score),
      el("span", { class: "name" }, entry.name),
    );
    const shown = { ...entry, card, address };
    this.all.push(shown);
    byId("results").prepend(el("li", {}, card));
    if (this.all.length > MOST) this.remove(this.all[0]!);
    this.show(shown);
    this.count();
  }

  clear(): void {
    while (this.all.length) this.remove(this.all[0]!);
    this.current = null;
    byId("shown").replaceChildren();
    byId("stage").dataset.status = "";
    this.count();
  }

  private remove(shown: Shown): void {
    this.all.splice(this.all.indexOf(shown), 1);
    shown.card.parentElement?.remove();
    if (shown.address) URL.revokeObjectURL(shown.address);
  }

  private count(): void {
    const flagged = this.all.filter((shown) => shown.verdict?.status === "anomalous").length;
    const unjudged = this.all.filter((shown) => !shown.verdict || shown.verdict.status === "unusable").length;
    byId("count").textContent = `${this.all.length} judged here: ${flagged} anomalous, ${unjudged} without a verdict`;
    byId("list").hidden = this.all.length === 0;
  }

  private show(shown: Shown): void {
    this.current?.card.removeAttribute("aria-current");
    this.current = shown;
    shown.card.setAttribute("aria-current", "true");
    const { verdict, name, refusal } = shown;
    const stage = byId("stage");
    stage.dataset.status = status(shown);
    const words: string[] = [];
    if (verdict === null) words.push(refusal);
    else {
      if (verdict.reason) words.push(`${verdict.reason}.`);
      words.push(...meaning(verdict, this.model));
    }
    byId("shown").replaceChildren(
      el("p", { class: "headline" }, headline(shown)),
      ...words.map((line) => el("p", {}, line)),
      el("div", { class: "picture" }, this.frame(shown, shown.address)),
      el("p", { class: "quiet" }, verdict === null ? name : about(name, verdict)),
      ...(verdict?.notes ?? []).map((note) => el("p", { class: "quiet" }, `Note: ${note}`)),
    );
  }

  private frame({ verdict, name }: Entry, address: string): HTMLElement {
    if (verdict === null) return el("span", { class: "frame none" }, "no picture");
    const frame = el("span", { class: "frame" }, el("img", { src: address, alt: name }));
    frame.style.setProperty("--ratio", String(verdict.width / verdict.height));
    const dark = shade(this.model);
    if (dark) frame.append(laid(dark, verdict.box));
    frame.append(laid(heatmap(verdict.heat, this.model.heatmap, this.model.heat), verdict.box));
    return frame;
  }
}

function status({ verdict }: Entry): string {
  return verdict === null ? "error" : verdict.status;
}

function about(name: string, { width, height, ms }: Verdict): string {
  return `${name}: ${width} × ${height} pixels, ${Math.round(ms)} ms`;
}
