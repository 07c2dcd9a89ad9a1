// Heatmaps: small gray pictures to transparent colors, those of the pictures of `evaluate`.

import type { Box } from "./data";
import { el } from "./dom";

const INFERNO = [
  [0, 0, 4],
  [87, 16, 110],
  [188, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
] as const;

/** Red, green, blue and opacity of each gray level; level 0 is clear. */
export const COLORS = Uint8ClampedArray.from(
  Array.from({ length: 256 }, (_, level) => {
    const strength = level / 255;
    const at = (0.3 + 0.65 * strength) * (INFERNO.length - 1);
    const below = Math.min(Math.floor(at), INFERNO.length - 2);
    const color = [0, 1, 2].map(
      (c) => INFERNO[below]![c]! + (INFERNO[below + 1]![c]! - INFERNO[below]![c]!) * (at - below),
    );
    return [...color, 255 * Math.min(2 * strength, 1) * (0.35 + 0.4 * strength)];
  }).flat(),
);

/** A canvas with the heatmap, to be laid over its image: empty until the picture is decoded. */
export function heatmap(source: string, box: Box = [0, 0, 1, 1]): HTMLCanvasElement {
  const canvas = el("canvas", { class: "heat", "aria-hidden": "true", width: 1, height: 1 });
  const [left, upper, right, lower] = box;
  canvas.style.left = `${100 * left}%`;
  canvas.style.top = `${100 * upper}%`;
  canvas.style.width = `${100 * (right - left)}%`;
  canvas.style.height = `${100 * (lower - upper)}%`;
  const gray = new Image();
  gray.onload = () => {
    canvas.width = gray.naturalWidth;
    canvas.height = gray.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true })!;
    context.drawImage(gray, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      pixels.data.set(COLORS.subarray(4 * pixels.data[i]!, 4 * pixels.data[i]! + 4), i);
    }
    context.putImageData(pixels, 0, 0);
    canvas.dataset.drawn = "true";
  };
  gray.src = source;
  return canvas;
}
