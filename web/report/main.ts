// The program of the page that `onlygood report` writes. No package runs in it.

import { curves } from "./curves";
import { byId } from "./dom";
import { gallery } from "./gallery";
import { histogram } from "./histogram";
import { marks } from "./marks";
import { showHeat, state } from "./state";
import { summary } from "./summary";
import { viewer } from "./viewer";

export * as stats from "./stats"; // as `onlygood.stats`, for the tests

summary();
histogram();
curves();
viewer();
gallery();
marks();

document.addEventListener("keydown", (event) => {
  const typing = (event.target as Element).matches("select, input:not([type=checkbox])");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || byId<HTMLDialogElement>("viewer").open) return;
  const acts: Record<string, () => void> = {
    t: () => byId("threshold").focus(),
    "/": () => byId("filter-text").focus(),
    g: () => document.querySelector<HTMLElement>("#grid .look[tabindex='0']")?.focus(),
    h: () => showHeat(!state.heat),
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.documentElement.dataset.ready = "true";
