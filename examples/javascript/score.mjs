// node score.mjs MODEL IMAGE...: the score, the p-value and the verdict of each image, by docs/model-file.md alone.
import { readFileSync } from "node:fs";
import sharp from "sharp";
import { metadata } from "./modelfile.mjs";
import { prepare } from "./resize.mjs";

process.env.ORT_DISABLE_TELEMETRY = "1"; // before onnxruntime is loaded
const { default: ort } = await import("onnxruntime-node");

const [model, ...paths] = process.argv.slice(2);
const data = readFileSync(model);
const about = metadata(data);
if (about.schema_version !== 3) throw new Error(`schema ${about.schema_version}: this program knows 3`);
const session = await ort.InferenceSession.create(data, { intraOpNumThreads: 1 });

for (const path of paths) {
  const { pixels } = prepare(await decode(path), about.input);
  const { height, width, channels } = about.input;
  const images = new ort.Tensor("uint8", pixels, [1, height, width, channels]);
  const { score } = await session.run({ images });
  const p = pValue(score.data[0], about.calibration);
  const verdict = p <= about.calibration.max_false_alarms ? "anomalous" : "normal";
  console.log(`${score.data[0].toPrecision(6)} ${p.toPrecision(4)} ${verdict} ${path}`);
}

// Upright pixels of 8 bits, with no color profile applied. Alpha stays: it is dropped later.
async function decode(path) {
  const file = sharp(readFileSync(path), { ignoreIcc: true });
  const { format, depth, space } = await file.metadata();
  if (depth !== "uchar") throw new Error(`${path}: more than 8 bits, see The input in docs/model-file.md`);
  if (space !== "srgb" && space !== "b-w") throw new Error(`${path}: colors of kind ${space}`);
  if (format === "jpeg" && about.input.jpeg !== "full") throw new Error(`${path}: reduced JPEGs, see The input`);
  const { data: pixels, info } = await file.rotate().raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: info.channels, pixels };
}

// The share of good images, or parts, that look as odd.
function pValue(score, { scores, groups }) {
  const parts = new Map();
  scores.forEach((good, i) => {
    const part = groups ? groups[i] : i;
    const [images, higher] = parts.get(part) ?? [0, 0];
    parts.set(part, [images + 1, higher + (good >= score)]);
  });
  let shares = 0;
  for (const [images, higher] of parts.values()) shares += higher / images;
  return (1 + Math.round(shares * 1e9) / 1e9) / (parts.size + 1);
}
