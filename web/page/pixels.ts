// From files to what the model takes, without a browser: the tests run this under Node, against Pillow and the words of
// `onlygood`.

import { type InputSpec, type Raster, Refusal } from "./contract";
import { upright } from "./exif";
import { ascii } from "./file";
import { jpeg } from "./jpeg";
import { png } from "./png";
import { fitted } from "./resize";

export { pValue, generated } from "./conformal";
export { blanked, measure, objection } from "./frames";
export { useJpegDecoder } from "./jpeg";
export { cell, meaning } from "./words";
export { canvasBox, resample } from "./resize";
export { Refusal };

/** An upright image of a file at its own size, and what a person should know of it. */
export async function read(
  bytes: Uint8Array<ArrayBuffer>,
  bitDepth: number,
): Promise<{ raster: Raster; notes: string[] }> {
  const found = format(bytes) === "PNG" ? png(bytes, bitDepth) : await jpeg(bytes);
  return { raster: upright(found.raster, found.orientation), notes: found.notes };
}

/** The image as the model takes it. */
export function prepared(image: Raster, spec: InputSpec): Raster {
  return fitted(spec.channels === 1 ? gray(image) : colored(image), spec);
}

/** ITU-R 601, in Pillow's fixed-point numbers. */
function gray(image: Raster): Raster {
  if (image.channels === 1) return image;
  const { data } = image;
  const out = new Uint8Array(data.length / 3);
  for (let i = 0; i < out.length; i++) {
    out[i] = (data[3 * i]! * 19595 + data[3 * i + 1]! * 38470 + data[3 * i + 2]! * 7471 + 0x8000) >> 16;
  }
  return { ...image, channels: 1, data: out };
}

export function colored(image: Raster): Raster {
  if (image.channels === 3) return image;
  const out = new Uint8Array(3 * image.data.length);
  for (let i = 0; i < out.length; i++) out[i] = image.data[Math.trunc(i / 3)]!;
  return { ...image, channels: 3, data: out };
}

const KINDS: [string, (bytes: Uint8Array) => boolean][] = [
  ["WebP", (bytes) => ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 4) === "WEBP"],
  ["TIFF", (bytes) => ["II*\0", "MM\0*", "II+\0", "MM\0+"].includes(ascii(bytes, 0, 4))],
  ["GIF", (bytes) => ascii(bytes, 0, 4) === "GIF8"],
  ["BMP", (bytes) => ascii(bytes, 0, 2) === "BM"],
  ["AVIF", (bytes) => /^ftypavi/.test(ascii(bytes, 4, 8))],
  ["HEIC", (bytes) => /^ftyp(he|mi)/.test(ascii(bytes, 4, 8))],
];

function format(bytes: Uint8Array): "PNG" | "JPEG" {
  if (bytes.length === 0) throw new Refusal("the file is empty");
  if (ascii(bytes, 0, 3) === "\xff\xd8\xff") return "JPEG";
  if (ascii(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return "PNG";
  const kind = KINDS.find(([, is]) => is(bytes))?.[0];
  if (!kind) throw new Refusal("no picture of a known kind: this page reads JPEG and PNG");
  const help =
    kind === "HEIC" ? "; an iPhone takes JPEGs with Settings, Camera, Formats, Most Compatible" : "";
  throw new Refusal(`a ${kind} picture: this page reads JPEG and PNG, \`onlygood score\` more${help}`);
}
