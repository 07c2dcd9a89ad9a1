// From scores to p-values, and the images of the self-test: docs/model-file.md has both.

import { Ranks } from "../report/stats";
import type { InputSpec, Model, Raster } from "./contract";

/** The share of good images, or parts, that score as high. */
export function pValue(score: number, calibration: Model["calibration"]): number {
  return new Ranks(calibration).pValue(score);
}

/** Image number `index` of the self-test. */
export function generated(spec: InputSpec, index: number): Raster {
  const { width, height, channels } = spec;
  const data = new Uint8Array(width * height * channels);
  const finer = Math.floor(index / 4) + 1;
  const formulas = [
    (x: number, y: number, c: number) =>
      finer * (Math.floor((x * 255) / width) + Math.floor((y * 128) / height)) + 40 * c,
    (x: number, y: number, c: number) =>
      ((Math.floor((x * finer) / 4) + Math.floor((y * finer) / 4) + c) % 2) * 200 + 20,
    (x: number, y: number, c: number) =>
      Math.floor((((2 * x - width) ** 2 + (2 * y - height) ** 2) * finer) / 64) + 85 * c,
    (x: number, y: number, c: number) =>
      Math.imul((x * 7919 + y * 104729 + c * 1299709 + finer) | 0, 2654435761 | 0) >>> 24,
  ];
  const formula = formulas[index % 4]!;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++, i++) data[i] = formula(x, y, c) % 256;
    }
  }
  return { width, height, channels, data };
}
