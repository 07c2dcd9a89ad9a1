// Words and numbers: counts at the threshold, the table of defects, files to look at, and what the model is.

import { counted, data, folderName, images, labeled, type Estimate, type Image } from "./data";
import { byId, el } from "./dom";
import { on, ranks, state, status } from "./state";
import { interval, percent } from "./stats";

const defects = [...new Set(labeled.filter((image) => image.label === 1).map((image) => image.defect))].sort();

export function summary(): void {
  byId("title").textContent = data.model.product;
  byId("what").textContent = data.model.what;
  byId("made").textContent = `Report of ${data.made}, onlygood ${data.onlygood}`;
  model();
  files();
  measures();
  recount();
  let waiting = 0;
  on("threshold", () => {
    recount();
    clearTimeout(waiting); // said once the threshold rests, not at every pixel
    waiting = window.setTimeout(() => (byId("said").textContent = flaggedWords()), 400);
  });
}

// --- at the threshold

function flagged(among: Image[]): number {
  return among.reduce((sum, image) => sum + Number(image.score! > state.threshold), 0);
}

function flaggedWords(): string {
  return `${flagged(counted)} of ${counted.length} new images flagged`;
}

function recount(): void {
  const all = images.filter((image) => !image.seen);
  const number = (wanted: string) => all.filter((image) => status(image) === wanted).length;
  const tiles: [string, number, string][] = [
    ["anomalous", number("anomalous"), "bad"],
    ["normal", number("normal"), "good"],
    ["unusable", number("unusable"), "odd"],
    ["unreadable", number("error"), "odd"],
  ];
  const seen = images.length - all.length;
  if (seen) tiles.push(["known to the model, not counted", seen, "plain"]);
  byId("tiles").replaceChildren(
    ...tiles
      .filter(([name, count]) => count > 0 || name === "anomalous" || name === "normal")
      .map(([name, count, kind]) =>
        el("div", { class: `tile ${kind}` }, el("dt", {}, name), el("dd", {}, count.toLocaleString("en"))),
      ),
  );
  const rows: [string, string][] = [
    ["Flagged", shareWords(flagged(counted), counted.length, "new images", false)],
    ["Promised", `at most ${percent(ranks.promised(state.threshold))} of good ${data.calibration.unit}`],
  ];
  for (const [label, name, noun] of [
    [1, "Detected", "anomalous images"],
    [0, "False alarms", "good images"],
  ] as const) {
    const among = labeled.filter((image) => image.label === label);
    if (among.length) rows.push([name, shareWords(flagged(among), among.length, noun, true)]);
  }
  byId("readout").replaceChildren(...rows.flatMap(([name, words]) => [el("dt", {}, name), el("dd", {}, words)]));
  for (const cell of document.querySelectorAll<HTMLElement>("[data-defect]")) {
    const among = labeled.filter((image) => image.label === 1 && image.defect === cell.dataset.defect);
    cell.textContent = `${flagged(among)} of ${among.length}`;
  }
}

function shareWords(hits: number, total: number, noun: string, sure: boolean): string {
  const words = `${hits.toLocaleString("en")} of ${total.toLocaleString("en")} ${noun}`;
  if (!total) return words;
  const [low, high] = sure ? interval(hits, total) : [0, 0];
  return `${words}: ${percent(hits / total)}${sure ? ` (${percent(low)} to ${percent(high)})` : ""}`;
}

// --- with labels

function measures(): void {
  const found = data.measures;
  byId("with-labels").hidden = !labeled.length;
  byId("no-labels").hidden = labeled.length > 0;
  byId("measured").hidden = !found;
  byId("one-kind").hidden = !labeled.length || found !== null;
  document.querySelector<HTMLElement>('a[href="#labels"]')!.hidden = !labeled.length;
  byId("stand-in").hidden = found?.against !== "calibration";
  if (!found) return;
  byId("stand-in").textContent = standIn();
  const whole: [string, Estimate][] = [
    ["AUROC", found.auroc],
    ["Average precision", found.average_precision],
    ["False alarms where 95 % are detected", found.fpr95],
  ];
  byId("whole").replaceChildren(
    ...whole.map(([name, value]) =>
      el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value.value.toFixed(3)), el("td", {}, spread(value))),
    ),
  );
  byId("defects").replaceChildren(
    ...defects.map((name) => {
      const value = found.per_defect[name]!;
      return el(
        "tr",
        {},
        el("th", { scope: "row" }, name),
        el("td", { "data-defect": name }),
        el("td", {}, value.value.toFixed(3)),
        el("td", {}, spread(value)),
      );
    }),
  );
}

/** Why the good side of all measures is the calibration, and what that does not tell. */
function standIn(): string {
  const known = images.filter((image) => image.label === 0 && image.seen).length;
  const why = known
    ? `The ${known.toLocaleString("en")} good images here are known to the model and do not count.`
    : "No image here that counts is called good.";
  const count = data.calibration.scores.length.toLocaleString("en");
  const parts = data.calibration.weights ? ", each counted by itself, whatever part it shows" : "";
  return (
    `${why} In their place stand the ${count} good images of the calibration${parts}, from which the model did not ` +
    "learn. How often new good images are flagged, those of another day above all, only new ones tell: score some " +
    "that the model has not seen."
  );
}

function spread(value: Estimate): string {
  return `${value.low.toFixed(3)} to ${value.high.toFixed(3)}`;
}

// --- files and model

const MOST = 200; // files in a list; the gallery has all

function files(): void {
  const groups = new Map<number, Image[]>();
  for (const image of images) {
    if (image.copies !== null) groups.set(image.copies, [...(groups.get(image.copies) ?? []), image]);
  }
  const path = (image: Image) => `${folderName(image)}/${image.name}`;
  const reason = (image: Image) => `${path(image)}: ${image.error}`;
  const lists: [string, string[]][] = [
    ["Unreadable", images.filter((image) => image.status === "error").map(reason)],
    ["Unusable: blank, dark, clipped or blurred", images.filter((image) => image.status === "unusable").map(reason)],
    ["The same image several times", [...groups.values()].map((group) => group.map(path).join("  =  "))],
    ["Noted by the reader", images.filter((image) => image.notes.length).map((image) => `${path(image)}: ${image.notes.join("; ")}`)],
  ];
  const shown = lists.filter(([, lines]) => lines.length);
  byId("files-none").hidden = shown.length > 0;
  byId("files-lists").hidden = shown.length === 0;
  byId("files-lists").replaceChildren(
    ...shown.map(([name, lines]) =>
      el(
        "details",
        { open: lines.length <= 20 },
        el("summary", {}, `${name} (${lines.length})`),
        el("ul", { class: "paths" }, ...lines.slice(0, MOST).map((line) => el("li", {}, line))),
        lines.length > MOST && el("p", {}, `… and ${lines.length - MOST} more.`),
      ),
    ),
  );
}

function model(): void {
  byId("facts").replaceChildren(
    ...data.model.facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
  const list = (id: string, lines: string[]) => byId(id).replaceChildren(...lines.map((line) => el("li", {}, line)));
  list("promise", data.model.promise);
  list("remarks", data.model.remarks);
  byId("remarks-box").hidden = !data.model.remarks.length;
  const found = [...data.found];
  if (!data.knows_seen) {
    found.push("The model file lists no training images: make sure that none of them is among these.");
  }
  list("found", found);
  const { seconds, per_image_ms: ms } = data.run;
  const rate = seconds > 0 ? `, ${(images.length / seconds).toFixed(0)} a second` : "";
  const each = ms ? ` Reading and inference of one took ${ms[0]} ms at the median, ${ms[1]} ms at the 95 % quantile.` : "";
  byId("run").textContent = `${images.length.toLocaleString("en")} images in ${seconds.toFixed(1)} s${rate}.${each}`;
}
