// The program of the page that `onlygood page` writes: takes images, lets the worker judge them, shows verdicts.

import { byId, el } from "../report/dom";
import { cameraWorks, frame, switchCamera } from "./camera";
import type { Answer, Ask, Model, Picture } from "./contract";
import { Results } from "./view";
import { type Entry, percent, table } from "./words";

type Waiting = File | { name: string; frame: Picture };

const line: Waiting[] = []; // read when their turn comes: thousands of files may be dropped
let state: "starting" | "ready" | "busy" | "failed" = "starting";
let results: Results;

function say(words: string): void {
  byId("said").textContent = words;
}

const worker = new Worker("worker.js", { type: "module" });

function take(images: Iterable<Waiting>): void {
  if (state === "failed") return;
  line.push(...images);
  tellWaiting();
  next();
}

function tellWaiting(): void {
  const count = line.length + Number(state === "busy");
  byId("waiting").textContent = count ? `${count} to judge …` : "";
}

/** Give the worker the next image, if it is free and there is one. */
function next(): void {
  const image = state === "ready" ? line.shift() : undefined;
  if (image === undefined) return tellWaiting();
  state = "busy";
  tellWaiting();
  void judged(image)
    .then((entry) => results.add(entry))
    .catch((error: unknown) => say(`${image.name} could not be shown: ${String(error)}`))
    .finally(() => {
      if (state === "busy") state = "ready";
      next();
    });
}

let answered: (answer: Answer) => void = () => undefined;

async function judged(image: Waiting): Promise<Entry> {
  const { name } = image;
  let question: Ask;
  try {
    question = image instanceof File ? { bytes: await image.arrayBuffer() } : { frame: image.frame };
  } catch {
    return { name, verdict: null, refusal: "the browser cannot read this file; a folder cannot be dropped" };
  }
  const answer = await new Promise<Answer>((done) => {
    answered = done;
    worker.postMessage(question, ["bytes" in question ? question.bytes : question.frame.rgba.buffer]);
  });
  if (answer.about === "verdict") return { name, verdict: answer.verdict, refusal: "" };
  return { name, verdict: null, refusal: answer.about === "refusal" ? answer.words : "" };
}

function takeFrame(): void {
  const picture = frame();
  if (picture === null) return say("The camera gives no picture yet.");
  take([{ name: `camera ${new Date().toISOString().slice(0, 19).replace("T", " ")}`, frame: picture }]);
}

worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
  if (data.about === "loading") byId("status").textContent = data.words;
  else if (data.about === "failed") fail(data.words);
  else if (data.about === "ready") {
    state = "ready";
    byId("status").textContent =
      `Ready. This device computes as the one that made the model (self-test: ${data.deviation.toPrecision(2)} off).`;
    document.documentElement.dataset.model = "ready";
    byId("sources").hidden = false;
    next();
  } else answered(data);
});
worker.addEventListener("error", () => fail("the program of the page could not be started: is the folder complete?"));

function fail(words: string): void {
  byId("status").textContent = `This page cannot judge: ${words}`;
  byId("status").classList.add("failed");
  byId("sources").hidden = true;
  state = "failed";
}

function inputs(): void {
  for (const id of ["files", "photo"]) {
    const input = byId<HTMLInputElement>(id);
    input.addEventListener("change", () => {
      take([...(input.files ?? [])]);
      input.value = "";
    });
  }
  byId("choose").addEventListener("click", () => byId("files").click());
  byId("photo-button").addEventListener("click", () => byId("photo").click());
  byId("camera-switch").hidden = !cameraWorks();
  byId("camera-switch").addEventListener("click", () => void switchCamera(say));
  byId("camera-take").addEventListener("click", takeFrame);
  document.addEventListener("paste", (event) => take([...(event.clipboardData?.files ?? [])]));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragged");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dragged"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragged");
    take([...(event.dataTransfer?.files ?? [])]);
  });
  byId<HTMLInputElement>("heat").addEventListener("change", (event) => {
    document.body.classList.toggle("no-heat", !(event.target as HTMLInputElement).checked);
  });
  byId("clear").addEventListener("click", () => results.clear());
  byId("save").addEventListener("click", save);
}

function save(): void {
  const address = URL.createObjectURL(new Blob([table(results.entries, model)], { type: "text/csv" }));
  el("a", { href: address, download: "scores.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function describe(model: Model): void {
  byId("title").textContent = model.title;
  byId("promised").textContent =
    `Flags at most ${percent(model.rate)} of new good ${model.calibration.unit}, if they are as those of the calibration.`;
  byId("facts").replaceChildren(
    ...model.facts.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]),
  );
  byId("promise").replaceChildren(...[...model.promise, ...model.remarks].map((line) => el("li", {}, line)));
}

async function keepOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) {
    byId("offline").textContent =
      "Not kept for use without a network, and no camera: browsers allow both at https or localhost only.";
    return;
  }
  const kept = () => {
    byId("offline").textContent = "Kept on this device: works without a network.";
    document.documentElement.dataset.offline = "ready";
  };
  const old = navigator.serviceWorker.controller !== null;
  const registration = await navigator.serviceWorker.register("offline.js");
  const offer = (newer: ServiceWorker | null) => {
    newer?.addEventListener("statechange", () => {
      if (newer.state === "installed" && old) byId("newer").hidden = false;
    });
  };
  if (registration.waiting) byId("newer").hidden = false;
  offer(registration.installing);
  registration.addEventListener("updatefound", () => offer(registration.installing));
  byId("replace").addEventListener("click", () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
    registration.waiting?.postMessage("replace");
  });
  await navigator.serviceWorker.ready;
  kept();
}

const model = (await (await fetch("model.json")).json()) as Model;
results = new Results(model);
describe(model);
inputs();
keepOffline().catch(() => {
  byId("offline").textContent = "Could not be kept for use without a network: is there room on this device?";
});
document.documentElement.dataset.ready = "true";
