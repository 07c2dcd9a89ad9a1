// Which images the gallery shows, and in which order.

import { data, folderName, images, pictures, type Image } from "./data";
import { byId, el } from "./dom";
import { state, status } from "./state";

const CHOICES: Record<string, { name: string; test: (image: Image) => boolean }> = {
  all: { name: "all", test: () => true },
  anomalous: { name: "anomalous", test: (image) => status(image) === "anomalous" },
  normal: { name: "normal", test: (image) => status(image) === "normal" },
  missed: {
    name: "missed: labeled anomalous, not flagged",
    test: (image) => image.label === 1 && status(image) === "normal",
  },
  alarms: {
    name: "false alarms: labeled good, flagged",
    test: (image) => image.label === 0 && status(image) === "anomalous",
  },
  unusable: { name: "unusable", test: (image) => image.status === "unusable" },
  error: { name: "unreadable", test: (image) => image.status === "error" },
  copies: { name: "the same as another", test: (image) => image.copies !== null },
  seen: { name: "known to the model", test: (image) => image.seen },
  marked: { name: "marked by you", test: (image) => state.marks.has(image.index) },
  bare: { name: "without a picture", test: (image) => !pictures[image.index] },
};

const last = (image: Image) => image.score ?? -Infinity;
const ORDERS: Record<string, (a: Image, b: Image) => number> = {
  highest: (a, b) => last(b) - last(a),
  lowest: (a, b) => (a.score ?? Infinity) - (b.score ?? Infinity),
  nearest: (a, b) => Math.abs(last(a) - state.threshold) - Math.abs(last(b) - state.threshold),
  name: (a, b) => a.folder - b.folder || (a.name < b.name ? -1 : Number(a.name > b.name)),
};

const inputs = () => ({
  status: byId<HTMLSelectElement>("filter-status"),
  folder: byId<HTMLSelectElement>("filter-folder"),
  defect: byId<HTMLSelectElement>("filter-defect"),
  text: byId<HTMLInputElement>("filter-text"),
  order: byId<HTMLSelectElement>("order"),
});

export function filters(changed: () => void): void {
  const { status: kind, folder, defect, text, order } = inputs();
  for (const [value, choice] of Object.entries(CHOICES)) {
    const always = ["all", "anomalous", "normal", "marked"].includes(value);
    const possible = value === "missed" || value === "alarms" ? data.defects.length > 0 : images.some(choice.test);
    if (always || possible) kind.append(el("option", { value }, choice.name));
  }
  data.folders.forEach((one, index) => folder.append(el("option", { value: index }, one.name)));
  folder.closest("label")!.hidden = data.folders.length < 2;
  if (images.some((image) => image.label === 0)) defect.append(el("option", { value: "good" }, "called good"));
  data.defects.forEach((name, index) => defect.append(el("option", { value: index }, name)));
  defect.closest("label")!.hidden = defect.options.length < 2;
  for (const input of [kind, folder, defect, order]) input.addEventListener("change", changed);
  text.addEventListener("input", changed);
}

/** The images that the filters leave, in the order asked for. */
export function chosen(): Image[] {
  const { status: kind, folder, defect, text, order } = inputs();
  const words = text.value.trim().toLowerCase();
  const test = CHOICES[kind.value]!.test;
  const found = images.filter(
    (image) =>
      test(image) &&
      (folder.value === "" || image.folder === Number(folder.value)) &&
      (defect.value === "" ||
        (defect.value === "good" ? image.label === 0 : image.defect === data.defects[Number(defect.value)])) &&
      (words === "" || `${folderName(image)}/${image.name}`.toLowerCase().includes(words)),
  );
  return found.sort(ORDERS[order.value]!);
}

/** Whether what is shown depends on the threshold. */
export function followsThreshold(): boolean {
  const { status: kind, order } = inputs();
  return ["anomalous", "normal", "missed", "alarms"].includes(kind.value) || order.value === "nearest";
}
