// Beside the page, so that it stays responsive: loads the model, proves on its self-test that this device
// computes as the exporting one did, and judges one image after the other.

import * as ort from "onnxruntime-web/wasm";
import type { Answer, Ask, Model, Picture, Raster, Verdict } from "./contract";
import {
  Refusal,
  blanked,
  canvasBox,
  colored,
  generated,
  measure,
  objection,
  pValue,
  prepared,
  read,
  resample,
  useJpegDecoder,
} from "./pixels.js";

const SHOWN = 640; // pixels, the longest side of what people see

let model: Model;
let session: ort.InferenceSession;

function tell(answer: Answer, ...moved: Transferable[]): void {
  postMessage(answer, { transfer: moved });
}

async function fetched(name: string): Promise<Response> {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} cannot be loaded (${answer.status}): is the folder complete?`);
  return answer;
}

/** A file that is gzipped, unless the server or the browser has unpacked it already. */
async function unpacked(name: string): Promise<ArrayBuffer> {
  const bytes = await (await fetched(name)).arrayBuffer();
  const head = new Uint8Array(bytes, 0, 2);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return bytes;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function start(): Promise<void> {
  model = (await (await fetched("model.json")).json()) as Model;
  tell({ about: "loading", words: "Loading onnxruntime …" });
  const [runtime, decoder] = await Promise.all([unpacked("onnxruntime.wasm.gz"), unpacked("jpeg.wasm.gz")]);
  await useJpegDecoder(decoder);
  tell({ about: "loading", words: `Loading the model (${(model.bytes / 1e6).toFixed(1)} MB) …` });
  const bytes = await (await fetched("model.onnx")).arrayBuffer();
  await checked(bytes);
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: runtime });
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
  tell({ about: "loading", words: "Checking that this device computes as it should …" });
  tell({ about: "ready", deviation: await selfTest() });
}

async function checked(bytes: ArrayBuffer): Promise<void> {
  let whole = bytes.byteLength === model.bytes;
  if (whole && isSecureContext) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    whole = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("") === model.sha256;
  }
  if (!whole) throw new Error("model.onnx is not the file that this page was written for: write the page anew");
}

/** How far the scores of the self-test are off, as a share of the largest. */
async function selfTest(): Promise<number> {
  const { scores, tolerance } = model.self_test;
  const largest = Math.max(1e-38, ...scores.map(Math.abs));
  let deviation = 0;
  for (let i = 0; i < scores.length; i++) {
    const { score } = await infer(generated(model.input, i));
    deviation = Math.max(deviation, Math.abs(score - scores[i]!) / largest);
    if (!(deviation <= tolerance)) {
      throw new Error(
        "this device computes other scores than the machine that made the model, so its thresholds do not " +
          `hold: ${deviation.toPrecision(2)} off, where ${tolerance.toPrecision(2)} is allowed`,
      );
    }
  }
  return deviation;
}

async function infer(image: Raster): Promise<{ score: number; heat: Float32Array }> {
  const shape = [1, image.height, image.width, image.channels];
  const found = await session.run({ images: new ort.Tensor("uint8", image.data, shape) });
  const heat = (found["heatmap"]!.data as Float32Array).slice();
  const score = (found["score"]!.data as Float32Array)[0]!;
  if (heat.length !== model.heatmap[0] * model.heatmap[1]) throw new Error("the model gives another heatmap");
  return { score, heat };
}

async function judge(image: Raster, notes: string[], begun: number): Promise<Verdict> {
  const input = prepared(image, model.input);
  const { score, heat } = await infer(input);
  if (!Number.isFinite(score)) throw new Refusal(`the model gave the score ${score}, which is no verdict`);
  const reason = objection(measure(blanked(input, model.area)), model.frames);
  const status = reason ? "unusable" : score > model.threshold ? "anomalous" : "normal";
  const ms = performance.now() - begun;
  const { width, height } = image;
  const p = pValue(score, model.calibration);
  const box = canvasBox(width, height, model.input);
  return { status, score, p, reason, width, height, notes, ms, heat, box, picture: small(image) };
}

/** The image for people. */
function small(image: Raster): Picture {
  const scale = Math.min(1, SHOWN / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const { data } = resample(colored(image), [0, 0, image.width, image.height], width!, height!);
  const rgba = new Uint8ClampedArray((data.length / 3) * 4).fill(255);
  for (let i = 0, at = 0; i < data.length; i += 3, at += 4) {
    [rgba[at], rgba[at + 1], rgba[at + 2]] = [data[i]!, data[i + 1]!, data[i + 2]!];
  }
  return { width: width!, height: height!, rgba };
}

function withoutOpacity({ width, height, rgba }: Picture): Raster {
  const data = new Uint8Array(3 * width * height);
  for (let i = 0, at = 0; at < data.length; i += 4) {
    [data[at++], data[at++], data[at++]] = [rgba[i]!, rgba[i + 1]!, rgba[i + 2]!];
  }
  return { width, height, channels: 3, data };
}

async function answer(ask: Ask): Promise<void> {
  const begun = performance.now();
  try {
    const { raster, notes } =
      "bytes" in ask
        ? await read(new Uint8Array(ask.bytes), model.input.bit_depth)
        : { raster: withoutOpacity(ask.frame), notes: [] };
    const verdict = await judge(raster, notes, begun);
    tell({ about: "verdict", verdict }, verdict.picture.rgba.buffer, verdict.heat.buffer);
  } catch (error) {
    const words = error instanceof Refusal ? error.message : `the image could not be judged: ${message(error)}`;
    tell({ about: "refusal", words });
  }
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

let queue = start().catch((error: unknown) => {
  tell({ about: "failed", words: message(error) });
  throw error;
});
queue.catch(() => undefined);
addEventListener("message", (event: MessageEvent<Ask>) => {
  queue = queue.then(() => answer(event.data));
  queue.catch(() => undefined);
});
