// What can change in the page, and who wants to know.

import { data, images, type Image, type Status } from "./data";
import { Ranks } from "./stats";

export type Mark = "good" | "bad";
type Topic = "threshold" | "marks" | "view";

const listeners: Record<Topic, (() => void)[]> = { threshold: [], marks: [], view: [] };

export const state = {
  threshold: data.threshold,
  marks: new Map<number, Mark>(),
  heat: true,
};

export const ranks = new Ranks(data.calibration);

export function on(topic: Topic, listener: () => void): void {
  listeners[topic].push(listener);
}

function tell(topic: Topic): void {
  for (const listener of listeners[topic]) listener();
}

/** The status at the threshold as it is now. */
export function status(image: Image): Status {
  if (image.status === "error" || image.status === "unusable") return image.status;
  return image.score! > state.threshold ? "anomalous" : "normal";
}

let waiting = false;

export function setThreshold(value: number): void {
  if (!Number.isFinite(value) || value === state.threshold) return;
  state.threshold = value;
  if (waiting) return;
  waiting = true; // at most one repaint a frame
  requestAnimationFrame(() => {
    waiting = false;
    tell("threshold");
  });
}

export function showHeat(shown: boolean): void {
  state.heat = shown;
  tell("view");
}

// Marks outlive the page where the browser lets them: they are somebody's work.
const key = `onlygood ${data.model.sha256} ${data.made} ${images.length}`;

export function mark(image: Image, wanted: Mark): void {
  if (state.marks.get(image.index) === wanted) state.marks.delete(image.index);
  else state.marks.set(image.index, wanted);
  save();
  tell("marks");
}

export function clearMarks(): void {
  state.marks.clear();
  save();
  tell("marks");
}

function save(): void {
  try {
    localStorage.setItem(key, JSON.stringify([...state.marks]));
  } catch {
    // no storage for files from the disk: the marks last as long as the page
  }
}

try {
  const kept = JSON.parse(localStorage.getItem(key) ?? "[]") as [number, Mark][];
  for (const [index, value] of kept) if (images[index]) state.marks.set(index, value);
} catch {
  // as above
}
