// What the page's pixels.js makes of images, as JSON, for the tests: node node.mjs pixels.js jpeg.wasm.gz < cases.json
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { pathToFileURL } from "node:url";

// Browsers have it, Node has not.
globalThis.ImageData = class {
  constructor(data, width, height) {
    Object.assign(this, { data, width, height });
  }
};
const [program, decoder] = process.argv.slice(2);
const ours = await import(pathToFileURL(program));
await ours.useJpegDecoder(gunzipSync(readFileSync(decoder)));

const base64 = (data) => Buffer.from(data).toString("base64");
const acts = {
  async file({ bytes, spec }) {
    const { raster, notes } = await ours.read(Uint8Array.from(Buffer.from(bytes, "base64")), spec.bit_depth);
    const { width, height } = raster;
    return { pixels: base64(ours.prepared(raster, spec).data), width, height, notes };
  },
  array({ bytes, width, height, channels, spec }) {
    const raster = { width, height, channels, data: Uint8Array.from(Buffer.from(bytes, "base64")) };
    return { pixels: base64(ours.prepared(raster, spec).data), box: ours.canvasBox(width, height, spec) };
  },
  frame({ bytes, width, height, channels, area, frames }) {
    const raster = { width, height, channels, data: Uint8Array.from(Buffer.from(bytes, "base64")) };
    const inside = ours.blanked(raster, area);
    return { blanked: base64(inside.data), said: ours.objection(ours.measure(inside), frames) };
  },
  cell: ({ value }) => ({ cell: ours.cell(value) }),
  meaning: ({ verdict, model }) => ({ said: ours.meaning(verdict, model) }),
  p: ({ score, calibration }) => ({ p: ours.pValue(score, calibration) }),
  generated: ({ spec, index }) => ({ pixels: base64(ours.generated(spec, index).data) }),
};
const found = [];
for (const { act, ...what } of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    found.push(await acts[act](what));
  } catch (error) {
    found.push(error instanceof ours.Refusal ? { refused: error.message } : { failed: String(error.stack) });
  }
}
process.stdout.write(JSON.stringify(found));
