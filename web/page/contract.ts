// What the page knows of its model (model.json, written by `onlygood page`), and what page and worker tell each
// other. Arrays of pixels are rows from the top, channels last.

export type Span = readonly [number, number];

export interface InputSpec {
  height: number;
  width: number;
  channels: 1 | 3;
  resize: "stretch" | "pad" | "crop";
  bit_depth: number;
}

export interface Frames {
  brightness: Span;
  contrast: Span;
  clipped: Span;
  sharpness: Span;
}

export interface Model {
  schema: 1;
  onlygood: string;
  title: string;
  sha256: string;
  bytes: number;
  input: InputSpec;
  area: number[] | null;
  heatmap: [number, number];
  calibration: { scores: number[]; weights: number[] | null; unit: "images" | "parts" };
  rate: number;
  threshold: number;
  heat: Span;
  frames: Frames | null;
  self_test: { scores: number[]; tolerance: number };
  facts: [string, string][];
  promise: string[];
  remarks: string[];
}

/** 8 bits a channel. */
export interface Raster {
  width: number;
  height: number;
  channels: 1 | 3;
  data: Uint8Array;
}

export type Box = [number, number, number, number]; // left, upper, right, lower

/** An image that cannot be read or judged here; the message is for people. */
export class Refusal extends Error {}

export interface Picture {
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
}

export interface Verdict {
  status: "normal" | "anomalous" | "unusable";
  score: number;
  p: number;
  reason: string; // why a frame is unusable
  width: number; // of the upright image
  height: number;
  notes: string[];
  ms: number;
  picture: Picture; // for people, small
  heat: Float32Array; // of the model's cells
  box: Box; // of the heatmap's borders, in shares of the image
}

/** A file's bytes, or a frame of a camera as red, green, blue and opacity. */
export type Ask = { bytes: ArrayBuffer } | { frame: Picture };

/** Of images one answer each, in their order. */
export type Answer =
  | { about: "loading"; words: string }
  | { about: "ready"; deviation: number }
  | { about: "failed"; words: string }
  | { about: "verdict"; verdict: Verdict }
  | { about: "refusal"; words: string };
