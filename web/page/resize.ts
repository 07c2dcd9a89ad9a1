// Pillow's resize, to the last bit: bilinear, widened when shrinking, in two passes of fixed-point numbers
// with 22 bits behind the point, rounded to 8 bits after each. And where an image lies on the model's canvas,
// as `onlygood/runtime/images/resize.py` says it.

import type { Box, InputSpec, Raster } from "./contract";

const BITS = 22;

interface Taps {
  first: Int32Array; // source pixel where each target pixel begins to look
  count: Int32Array;
  weights: Int32Array; // `most` for each target pixel
  most: number;
}

/** For each of `target` pixels, which of `size` source pixels between `from` and `to` count how much. */
function taps(size: number, from: number, to: number, target: number): Taps {
  const scale = Math.fround(to - from) / target;
  const reach = Math.max(1, scale);
  const most = 2 * Math.ceil(reach) + 1;
  const found = { first: new Int32Array(target), count: new Int32Array(target), most };
  const weights = new Int32Array(target * most);
  const share = new Float64Array(most);
  for (let i = 0; i < target; i++) {
    const center = from + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const count = Math.min(size, Math.trunc(center + reach + 0.5)) - first;
    let total = 0;
    for (let k = 0; k < count; k++) {
      share[k] = Math.max(0, 1 - Math.abs((k + first - center + 0.5) * (1 / reach)));
      total += share[k]!;
    }
    for (let k = 0; k < count; k++) {
      const weight = total === 0 ? share[k]! : share[k]! / total;
      weights[i * most + k] = Math.trunc(0.5 + weight * 2 ** BITS);
    }
    found.first[i] = first;
    found.count[i] = count;
  }
  return { ...found, weights };
}

function clipped(sum: number): number {
  const value = sum >> BITS;
  return value > 255 ? 255 : value;
}

function across(image: Raster, target: number, use: Taps): Raster {
  const { width, height, channels, data } = image;
  const out = new Uint8Array(target * height * channels);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < target; x++) {
      const start = (y * width + use.first[x]!) * channels;
      const count = use.count[x]!;
      const w = x * use.most;
      for (let c = 0; c < channels; c++, at++) {
        let sum = 1 << (BITS - 1);
        for (let k = 0, i = start + c; k < count; k++, i += channels) sum += data[i]! * use.weights[w + k]!;
        out[at] = clipped(sum);
      }
    }
  }
  return { width: target, height, channels, data: out };
}

function down(image: Raster, target: number, use: Taps): Raster {
  const row = image.width * image.channels;
  const { data } = image;
  const out = new Uint8Array(row * target);
  for (let y = 0, at = 0; y < target; y++) {
    const start = use.first[y]! * row;
    const count = use.count[y]!;
    const w = y * use.most;
    for (let x = 0; x < row; x++, at++) {
      let sum = 1 << (BITS - 1);
      for (let k = 0, i = start + x; k < count; k++, i += row) sum += data[i]! * use.weights[w + k]!;
      out[at] = clipped(sum);
    }
  }
  return { width: image.width, height: target, channels: image.channels, data: out };
}

/** The part `box` of an image at the size `width` × `height`. */
export function resample(image: Raster, box: Box, width: number, height: number): Raster {
  const [left, upper, right, lower] = box.map(Math.fround) as Box; // Pillow keeps boxes in single precision
  const wide = width !== image.width || left !== 0 || right !== width;
  const high = height !== image.height || upper !== 0 || lower !== height;
  const columns = (found: Raster) =>
    wide ? across(found, width, taps(image.width, left, right, width)) : found;
  const rows = (found: Raster) =>
    high ? down(found, height, taps(image.height, upper, lower, height)) : found;
  return downFirst(image, width, height) ? columns(rows(image)) : rows(columns(image));
}

/**
 * Each pass rounds, so their order shows in the last bit. Pillow 13 begins with the columns where that saves
 * more: found by trying 2,925 sizes, held by a test. Older ones begin with the rows, whatever the size.
 */
function downFirst(image: Raster, width: number, height: number): boolean {
  return image.height - height > 2 * Math.max(0, image.width - width);
}

/** The part of the image that is used, and the width and height that it takes on the canvas. */
export function placement(width: number, height: number, spec: InputSpec): [Box, number, number] {
  const whole: Box = [0, 0, width, height];
  const [wide, high] = [spec.width / width, spec.height / height];
  if (spec.resize === "stretch") return [whole, spec.width, spec.height];
  if (spec.resize === "pad") {
    const fit = Math.min(wide, high);
    return [whole, Math.max(1, halfToEven(width * fit)), Math.max(1, halfToEven(height * fit))];
  }
  const cover = Math.max(wide, high);
  const left = Math.max(0, (width - spec.width / cover) / 2);
  const upper = Math.max(0, (height - spec.height / cover) / 2);
  return [[left, upper, width - left, height - upper], spec.width, spec.height];
}

/** Where the model's canvas lies in an image, in shares of the image: larger than it, where it is padded. */
export function canvasBox(width: number, height: number, spec: InputSpec): Box {
  const [[left, upper, right, lower], fitWidth, fitHeight] = placement(width, height, spec);
  if (spec.resize !== "pad") return [left / width, upper / height, right / width, lower / height];
  const [x, y] = [Math.floor((spec.width - fitWidth) / 2), Math.floor((spec.height - fitHeight) / 2)];
  return [-x / fitWidth, -y / fitHeight, (spec.width - x) / fitWidth, (spec.height - y) / fitHeight];
}

/** The image as the model takes it: its size; the channels must be right already. */
export function fitted(image: Raster, spec: InputSpec): Raster {
  const [box, width, height] = placement(image.width, image.height, spec);
  const found = resample(image, box, width, height);
  return width === spec.width && height === spec.height ? found : padded(found, spec);
}

/** In the middle of a canvas of the median color of its border. */
function padded(image: Raster, spec: InputSpec): Raster {
  const { width, height, channels, data } = image;
  const out = new Uint8Array(spec.width * spec.height * channels);
  const color = Array.from({ length: channels }, (_, c) => borderMedian(image, c));
  for (let i = 0; i < out.length; i++) out[i] = color[i % channels]!;
  const left = Math.floor((spec.width - width) / 2);
  const upper = Math.floor((spec.height - height) / 2);
  for (let y = 0; y < height; y++) {
    const row = data.subarray(y * width * channels, (y + 1) * width * channels);
    out.set(row, ((upper + y) * spec.width + left) * channels);
  }
  return { width: spec.width, height: spec.height, channels, data: out };
}

/** Corners count twice, and of two middles the mean, rounded down, is taken: as numpy's median does it. */
function borderMedian({ width, height, channels, data }: Raster, c: number): number {
  const values: number[] = [];
  for (let x = 0; x < width; x++) {
    values.push(data[x * channels + c]!, data[((height - 1) * width + x) * channels + c]!);
  }
  for (let y = 0; y < height; y++) {
    values.push(data[y * width * channels + c]!, data[(y * width + width - 1) * channels + c]!);
  }
  values.sort((a, b) => a - b);
  const half = values.length / 2;
  return Math.floor((values[Math.ceil(half) - 1]! + values[Math.floor(half)]!) / 2);
}

/** As Python rounds. */
function halfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
