// One image, large: zoomed, with and without its heatmap, marked, and left for the next.

import { folderName, link, pictures, type Image } from "./data";
import { byId, el } from "./dom";
import { frame, markButton, MARKS, WORD } from "./gallery";
import { mark, on, ranks, setThreshold, showHeat, state, status } from "./state";
import { short } from "./stats";

const MOST = 12; // times, of the zoom

let list: Image[] = [];
let place = 0;
let closed: (place: number) => void = () => {};
let zoom = 1;
let shift = { x: 0, y: 0 }; // pixels
const pointers = new Map<number, { x: number; y: number }>();

const dialog = () => byId<HTMLDialogElement>("viewer");
const stage = () => byId("stage");

export function openViewer(images: Image[], at: number, then: (place: number) => void): void {
  [list, place, closed] = [images, at, then];
  paint();
  dialog().showModal();
  stage().focus();
}

export function viewer(): void {
  const box = dialog();
  const click = (id: string, act: () => void) => byId(id).addEventListener("click", act);
  click("close", () => box.close());
  click("before", () => go(-1));
  click("after", () => go(1));
  click("zoom-in", () => zoomBy(1.5));
  click("zoom-out", () => zoomBy(1 / 1.5));
  click("zoom-fit", fit);
  click("viewer-heat", () => showHeat(!state.heat));
  click("set-threshold", () => setThreshold(list[place]!.score!));
  byId("heat-strength").addEventListener("input", strength);
  box.addEventListener("close", () => closed(place));
  box.addEventListener("keydown", keys);
  for (const topic of ["threshold", "marks", "view"] as const) {
    on(topic, () => box.open && paint(true));
  }
  const view = stage();
  view.addEventListener("wheel", wheel, { passive: false });
  view.addEventListener("dblclick", (event) => (zoom > 1 ? fit() : zoomBy(3, event.clientX, event.clientY)));
  view.addEventListener("pointerdown", (event) => {
    view.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  view.addEventListener("pointermove", drag);
  for (const end of ["pointerup", "pointercancel"] as const) {
    view.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
}

function go(step: number): void {
  const next = place + step;
  if (next < 0 || next >= list.length) return;
  place = next;
  paint();
}

/** Show the image; ``again`` keeps the zoom, for it is the same one. */
function paint(again = false): void {
  const image = list[place]!;
  const active = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.mark : undefined;
  const now = status(image);
  const picture = frame(image);
  stage().replaceChildren(picture);
  if (!again) fit();
  else move();
  strength();
  byId("viewer-name").textContent = image.name;
  byId("viewer-place").textContent = `${place + 1} of ${list.length}`;
  byId<HTMLButtonElement>("before").disabled = place === 0;
  byId<HTMLButtonElement>("after").disabled = place === list.length - 1;
  byId("viewer-heat").setAttribute("aria-pressed", String(state.heat));
  byId<HTMLButtonElement>("set-threshold").disabled = image.score === null;
  const score = image.score;
  const facts: [string, string][] = [
    ["Verdict", `${WORD[now]}${image.seen ? " (known to the model: says nothing of new images)" : ""}`],
    ["Reason", image.error],
    ["Score", score === null ? "" : `${short(score)}; the threshold is ${short(state.threshold)}`],
    ["p-value", score === null ? "" : pWords(ranks.pValue(score))],
    ["Called", image.label === null ? "" : image.label ? image.defect : "good"],
    ["Size", image.score === null ? "" : `${image.width} × ${image.height} pixels`],
    ["Noted", image.notes.join("; ")],
    ["Folder", folderName(image)],
  ];
  const address = link(image);
  byId("viewer-facts").replaceChildren(
    ...facts.filter(([, words]) => words).flatMap(([name, words]) => [el("dt", {}, name), el("dd", {}, words)]),
  );
  byId("viewer-links").replaceChildren(
    ...(address === null ? [] : [el("a", { href: address, target: "_blank", rel: "noopener" }, "Open the file itself")]),
  );
  const buttons = (["good", "bad"] as const).map((value) => markButton(image, value, MARKS[value]));
  for (const button of buttons) button.removeAttribute("tabindex");
  byId("viewer-marks").replaceChildren(...buttons);
  if (active) buttons.find((button) => button.dataset.mark === active)?.focus();
}

function pWords(p: number): string {
  return `${short(p)}: about ${short(100 * p)} in 100 good images score as high`;
}

// --- zoom

function fit(): void {
  zoom = 1;
  shift = { x: 0, y: 0 };
  move();
}

function zoomBy(factor: number, x?: number, y?: number): void {
  const box = stage().getBoundingClientRect();
  const next = Math.min(MOST, Math.max(1, zoom * factor));
  const from = { x: (x ?? box.left + box.width / 2) - box.left - box.width / 2, y: (y ?? box.top + box.height / 2) - box.top - box.height / 2 };
  shift = { x: from.x - ((from.x - shift.x) * next) / zoom, y: from.y - ((from.y - shift.y) * next) / zoom };
  zoom = next;
  move();
}

function move(): void {
  const box = stage().getBoundingClientRect();
  const room = { x: (box.width * (zoom - 1)) / 2, y: (box.height * (zoom - 1)) / 2 };
  shift.x = Math.min(room.x, Math.max(-room.x, shift.x));
  shift.y = Math.min(room.y, Math.max(-room.y, shift.y));
  const picture = stage().firstElementChild as HTMLElement | null;
  if (picture) picture.style.transform = `translate(${shift.x}px, ${shift.y}px) scale(${zoom})`;
  byId("zoom").textContent = `${zoom.toFixed(1)} ×`;
}

function wheel(event: WheelEvent): void {
  event.preventDefault();
  zoomBy(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
}

/** One pointer moves the image, two zoom it. */
function drag(event: PointerEvent): void {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const now = { x: event.clientX, y: event.clientY };
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const apart = (point: { x: number; y: number }) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
    zoomBy(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
  } else {
    shift = { x: shift.x + now.x - before.x, y: shift.y + now.y - before.y };
    move();
  }
  pointers.set(event.pointerId, now);
}

function strength(): void {
  const value = byId<HTMLInputElement>("heat-strength").valueAsNumber;
  const heat = stage().querySelector<HTMLElement>(".heat");
  if (heat) heat.style.opacity = String(value / 100);
  byId<HTMLInputElement>("heat-strength").disabled = !state.heat || !pictures[list[place]!.index];
}

function keys(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target instanceof HTMLInputElement && event.key.startsWith("Arrow")) return;
  const image = list[place]!;
  const acts: Record<string, () => void> = {
    ArrowLeft: () => go(-1),
    ArrowRight: () => go(1),
    "+": () => zoomBy(1.5),
    "=": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5),
    "0": fit,
    h: () => showHeat(!state.heat),
    f: () => mark(image, "good"),
    b: () => mark(image, "bad"),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}
