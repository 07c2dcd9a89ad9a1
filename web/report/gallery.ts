// The images as a grid of which only what is on the screen exists, so that ten thousand stay usable.

import { folderName, images, pictures, type Image } from "./data";
import { byId, el } from "./dom";
import { chosen, filters, followsThreshold } from "./filter";
import { heatmap } from "./heat";
import { mark, on, ranks, showHeat, state, status, type Mark } from "./state";
import { short } from "./stats";
import { openViewer } from "./viewer";

const GAP = 12;
const LEAST = 150; // pixels, of a card's width
const WORDS = 92; // pixels, of the text below a picture
const AHEAD = 2; // rows beyond the screen
const PRINTED = 48; // images on paper

export const WORD: Record<string, string> = {
  anomalous: "anomalous",
  normal: "normal",
  unusable: "unusable",
  error: "unreadable",
};

let shown: Image[] = [];
let cards = new Map<number, HTMLElement>(); // by place in `shown`
let columns = 1;
let rowHeight = 1;
let focused = 0; // place of the card that the tabulator key reaches
let printing = false;

export function gallery(): void {
  const grid = byId("grid");
  filters(refilter);
  on("threshold", () => (followsThreshold() ? refilter() : repaint()));
  on("marks", repaint);
  on("view", repaint);
  const heat = byId<HTMLInputElement>("show-heat");
  heat.addEventListener("change", () => showHeat(heat.checked));
  on("view", () => (heat.checked = state.heat));
  new ResizeObserver(layout).observe(grid);
  window.addEventListener("scroll", () => render(), { passive: true });
  window.addEventListener("resize", () => render());
  grid.addEventListener("keydown", keys);
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
  const bare = images.filter((image) => image.score !== null && !pictures[image.index]).length;
  byId("bare").hidden = bare === 0;
  byId("bare").textContent =
    `${bare.toLocaleString("en")} of ${images.length.toLocaleString("en")} images have no picture here, so that ` +
    "this file stays small: those with the lowest scores that nobody calls anomalous come first. The filter “without a " +
    "picture” lists them.";
  refilter();
}

function refilter(): void {
  shown = chosen();
  focused = Math.min(focused, Math.max(0, shown.length - 1));
  byId("count").textContent = `${shown.length.toLocaleString("en")} of ${images.length.toLocaleString("en")} images`;
  byId("nothing").hidden = shown.length > 0;
  layout();
}

function layout(): void {
  const grid = byId("grid");
  const wide = grid.clientWidth;
  columns = Math.max(wide < 360 ? 1 : 2, Math.floor((wide + GAP) / (LEAST + GAP + (wide > 900 ? 40 : 0))));
  const card = (wide - GAP * (columns - 1)) / columns;
  rowHeight = Math.round(card + WORDS + GAP);
  const rows = Math.ceil((printing ? Math.min(PRINTED, shown.length) : shown.length) / columns);
  grid.style.height = `${Math.max(0, rows * rowHeight - GAP)}px`;
  grid.style.setProperty("--card", `${card}px`);
  repaint();
}

/** Make all cards on the screen anew. */
function repaint(): void {
  const active = document.activeElement;
  const had = active instanceof HTMLElement && byId("grid").contains(active) && !active.matches("[data-mark]");
  for (const card of cards.values()) card.remove();
  cards = new Map();
  render();
  if (had) cards.get(focused)?.querySelector("button")?.focus({ preventScroll: true });
}

function render(): void {
  const grid = byId("grid");
  const top = -grid.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / rowHeight) - AHEAD) * columns;
  const end = Math.min(shown.length, (Math.ceil((top + window.innerHeight) / rowHeight) + AHEAD) * columns);
  const wanted = new Set<number>();
  const [from, to] = printing ? [0, Math.min(PRINTED, shown.length)] : [first, end];
  for (let place = from; place < to; place++) wanted.add(place);
  if (shown.length) wanted.add(focused); // a card that is focused stays, wherever one scrolls
  for (const [place, card] of cards) {
    if (!wanted.has(place)) {
      card.remove();
      cards.delete(place);
    }
  }
  for (const place of [...wanted].sort((a, b) => a - b)) {
    if (cards.has(place)) continue;
    const card = draw(place);
    cards.set(place, card);
    grid.append(card);
  }
}

function draw(place: number): HTMLElement {
  const image = shown[place]!;
  const now = status(image);
  const score = image.score === null ? "no score" : `score ${short(image.score)}`;
  const kind = image.label === null ? "" : image.label ? image.defect : "good";
  const p = image.score === null ? "" : `, p ${short(ranks.pValue(image.score))}`;
  const open = el(
    "button",
    {
      type: "button",
      class: "look",
      tabindex: place === focused ? 0 : -1,
      "aria-label": `${image.name}: ${WORD[now]}, ${score}${kind && `, called ${kind}`}; look closer`,
      onclick: () => {
        focus(place, false);
        openViewer(shown, place, (at) => focus(at, true));
      },
    },
    frame(image),
  );
  const card = el(
    "div",
    {
      class: `card ${now}${image.seen ? " seen" : ""}`,
      role: "listitem",
      "aria-setsize": shown.length,
      "aria-posinset": place + 1,
      "data-index": image.index,
    },
    open,
    el("p", { class: "verdict" }, el("strong", {}, WORD[now]!), kind && el("span", { class: "kind", title: kind }, kind)),
    el("p", { class: "number" }, image.seen ? "known to the model" : score + p),
    el("p", { class: "name", title: `${folderName(image)}/${image.name}` }, image.name),
    el("div", { class: "marks" }, markButton(image, "good"), markButton(image, "bad")),
  );
  card.style.left = `calc(${place % columns} * (var(--card) + ${GAP}px))`;
  card.style.top = `${Math.floor(place / columns) * rowHeight}px`;
  return card;
}

export const MARKS: Record<Mark, string> = { good: "Actually fine", bad: "Really bad" };

const SHORT: Record<Mark, string> = { good: "✓ fine", bad: "✗ bad" };

export function markButton(image: Image, value: Mark, words = SHORT[value]): HTMLButtonElement {
  return el(
    "button",
    {
      type: "button",
      "data-mark": value,
      "aria-pressed": String(state.marks.get(image.index) === value),
      tabindex: -1,
      title: MARKS[value],
      "aria-label": `${words}, ${MARKS[value]}: ${image.name}`,
      onclick: () => mark(image, value),
    },
    words,
  );
}

/** The picture with its heatmap, or words where there is none. */
export function frame(image: Image): HTMLElement {
  const picture = pictures[image.index];
  if (!picture) return el("span", { class: "frame empty" }, image.error ? "cannot be shown" : "no picture here");
  const [source, heat, box] = picture;
  const holder = el("span", { class: "frame" }, el("img", { src: source, alt: "", draggable: "false" }));
  if (state.heat) holder.append(heatmap(heat, box));
  const ratio = image.width / image.height;
  holder.style.aspectRatio = String(ratio);
  holder.style.setProperty("--ratio", String(ratio));
  holder.classList.add(ratio >= 1 ? "wide" : "tall");
  return holder;
}

/** Let the card at a place be the one that keys act on. */
function focus(place: number, scroll: boolean): void {
  const before = cards.get(focused)?.querySelector("button");
  before?.setAttribute("tabindex", "-1");
  focused = place;
  if (scroll) {
    const grid = byId("grid").getBoundingClientRect();
    const top = grid.top + Math.floor(place / columns) * rowHeight;
    const bar = byId("toolbar").offsetHeight;
    if (top < bar) window.scrollBy(0, top - bar - GAP);
    else if (top + rowHeight > window.innerHeight) window.scrollBy(0, top + rowHeight - window.innerHeight + GAP);
  }
  render();
  const button = cards.get(place)?.querySelector("button");
  button?.setAttribute("tabindex", "0");
  button?.focus({ preventScroll: true });
}

function keys(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || !shown.length) return;
  const page = columns * Math.max(1, Math.floor(window.innerHeight / rowHeight) - 1);
  const moves: Record<string, number> = {
    ArrowLeft: focused - 1,
    ArrowRight: focused + 1,
    ArrowUp: focused - columns,
    ArrowDown: focused + columns,
    PageUp: focused - page,
    PageDown: focused + page,
    Home: 0,
    End: shown.length - 1,
  };
  const next = moves[event.key];
  if (next !== undefined) {
    event.preventDefault();
    if (next < 0 && focused < columns) return;
    focus(Math.min(shown.length - 1, Math.max(0, next)), true);
  } else if (event.key === "f" || event.key === "b") {
    event.preventDefault();
    mark(shown[focused]!, event.key === "f" ? "good" : "bad");
  }
}

function print(on: boolean): void {
  printing = on;
  byId("printed").hidden = !on || shown.length <= PRINTED;
  byId("printed").textContent = `The first ${PRINTED} of ${shown.length} images are printed.`;
  layout();
}
