// Can a frame be judged? What `onlygood/runtime/model/frames.py` does, in the same words.

import type { Frames, Raster, Span } from "./contract";
import { fixed } from "./digits";

export interface Frame {
  brightness: number;
  contrast: number;
  clipped: number;
  sharpness: number;
}

/** Pixels that do not count take the mean color of those that do; `area` counts pixels out, in, out … */
export function blanked(image: Raster, area: number[] | null): Raster {
  if (area === null) return image;
  const { channels } = image;
  const out = image.data.slice();
  const total = new Array<number>(channels).fill(0);
  let inside = 0;
  const runs = (visit: (from: number, to: number) => void, wanted: number) => {
    let at = 0;
    area.forEach((length, i) => {
      if (i % 2 === wanted) visit(at, at + length);
      at += length;
    });
  };
  runs((from, to) => {
    inside += to - from;
    for (let i = from * channels; i < to * channels; i++) total[i % channels]! += image.data[i]!;
  }, 1);
  const mean = total.map((sum) => Math.floor(sum / inside));
  runs((from, to) => {
    for (let i = from * channels; i < to * channels; i++) out[i] = mean[i % channels]!;
  }, 0);
  return { ...image, data: out };
}

/** Statistics of an image of the model's size. */
export function measure({ width, height, channels, data }: Raster): Frame {
  const gray = new Float32Array(width * height);
  let total = 0;
  let clipped = 0;
  for (let i = 0; i < gray.length; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += data[i * channels + c]!;
    const value = (gray[i] = sum / channels);
    total += value;
    if (value === 0 || value === 255) clipped++;
  }
  const brightness = total / gray.length;
  let squares = 0;
  let across = 0;
  let down = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      squares += (gray[i]! - brightness) ** 2;
      if (x > 0) across += Math.abs(gray[i]! - gray[i - 1]!);
      if (y > 0) down += Math.abs(gray[i]! - gray[i - width]!);
    }
  }
  const contrast = Math.sqrt(squares / gray.length);
  const edges = (across / (height * (width - 1)) + down / ((height - 1) * width)) / 2;
  return {
    brightness,
    contrast,
    clipped: clipped / gray.length,
    sharpness: contrast > 0 ? edges / contrast : 0,
  };
}

/** Why a frame cannot be judged, or "". */
export function objection(frame: Frame, good: Frames | null): string {
  if (good === null) return "";
  const levels = (digits: number) => (value: number) => fixed(value, digits);
  const share = (value: number) => `${fixed(100 * value, 0)}%`;
  const usual = (span: Span, form: (value: number) => string) =>
    `good images have ${form(span[0])} to ${form(span[1])}`;
  const [dull, vivid] = good.contrast;
  if (frame.contrast < dull / 2)
    return `nearly constant: contrast ${levels(1)(frame.contrast)} gray levels; ${usual(good.contrast, levels(1))}`;
  if (frame.clipped > good.clipped[1] + 0.15)
    return `clipped: ${share(frame.clipped)} of the pixels are black or white; ${usual(good.clipped, share)}`;
  const [dark, bright] = good.brightness;
  const margin = Math.max(10, (bright - dark) / 2);
  const light = `mean gray level ${levels(0)(frame.brightness)}; ${usual(good.brightness, levels(0))}`;
  if (frame.brightness < dark - margin) return `too dark: ${light}`;
  if (frame.brightness > bright + margin) return `too bright: ${light}`;
  if (frame.contrast > 2 * vivid)
    return `too much contrast: ${levels(1)(frame.contrast)} gray levels; ${usual(good.contrast, levels(1))}`;
  const [blurred, sharp] = good.sharpness;
  const edges = `sharpness ${levels(3)(frame.sharpness)}; ${usual(good.sharpness, levels(3))}`;
  if (frame.sharpness < 0.6 * blurred) return `out of focus: ${edges}`;
  if (frame.sharpness > 3 * sharp) return `noise: ${edges}`;
  return "";
}
