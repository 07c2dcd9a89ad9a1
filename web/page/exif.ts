// Which way is up: the orientation that a file's EXIF or XMP tells, and turning pixels by it.

import type { Raster } from "./contract";

const TAG = 0x0112;

/** 1 to 8; 1, upright, where nothing or nonsense is told. `exif` is a TIFF. */
export function orientation(exif: Uint8Array | null, xmp: string): number {
  const told = exif === null ? null : fromExif(exif);
  const found = told ?? Number(/tiff:Orientation(?:="|>)([0-9])/.exec(xmp)?.[1] ?? 1);
  return found >= 1 && found <= 8 ? found : 1;
}

function fromExif(exif: Uint8Array): number | null {
  try {
    const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
    const mark = view.getUint16(0);
    if (mark !== 0x4949 && mark !== 0x4d4d) return null;
    const little = mark === 0x4949;
    const table = view.getUint32(4, little);
    for (let i = 0; i < view.getUint16(table, little); i++) {
      const entry = table + 2 + 12 * i;
      if (view.getUint16(entry, little) !== TAG) continue;
      const kind = view.getUint16(entry + 2, little);
      if (kind === 1) return view.getUint8(entry + 8);
      if (kind === 3) return view.getUint16(entry + 8, little);
      return kind === 4 ? view.getUint32(entry + 8, little) : null;
    }
  } catch {
    // damaged; the pixels may be fine
  }
  return null;
}

/** The image turned upright. */
export function upright(image: Raster, told: number): Raster {
  if (told === 1) return image;
  const { width, height, channels, data } = image;
  const sideways = told >= 5;
  const [newWidth, newHeight] = sideways ? [height, width] : [width, height];
  const flipX = told === 2 || told === 3 || told === 7 || told === 8;
  const flipY = told === 3 || told === 4 || told === 6 || told === 7;
  const out = new Uint8Array(data.length);
  for (let y = 0, at = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) {
      const [column, row] = sideways ? [y, x] : [x, y];
      const from =
        ((flipY ? height - 1 - row : row) * width + (flipX ? width - 1 - column : column)) * channels;
      for (let c = 0; c < channels; c++) out[at++] = data[from + c]!;
    }
  }
  return { width: newWidth, height: newHeight, channels, data: out };
}
