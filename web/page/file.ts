// What readers of files share.

import { type Raster, Refusal } from "./contract";

export interface Decoded {
  raster: Raster; // as stored
  orientation: number;
  notes: string[];
}

const MOST_PIXELS = 100_000_000; // as `onlygood score`

export function within(width: number, height: number): void {
  if (width * height > MOST_PIXELS) {
    throw new Refusal(`${width} x ${height} pixels are more than the limit of ${MOST_PIXELS}`);
  }
}

export function ascii(bytes: Uint8Array, from: number, length: number): string {
  let text = "";
  for (const byte of bytes.subarray(from, from + length)) text += String.fromCharCode(byte);
  return text;
}

/** A note if the color profile is not sRGB, told by the name inside it, in ASCII or UTF-16. */
export function profileNote(profile: Uint8Array | null): string[] {
  if (profile === null || /s\0?R\0?G\0?B/.test(ascii(profile, 0, profile.length))) return [];
  return ["color profile: the file has one other than sRGB, which is not applied"];
}
