// PNG files, exactly as Pillow reads them: all bits, without alpha; damaged ones are refused.

import { decode } from "fast-png";
import { type Raster, Refusal } from "./contract";
import { orientation } from "./exif";
import { type Decoded, ascii, profileNote, within } from "./file";

interface Chunks {
  width: number;
  height: number;
  depth: number;
  kind: number;
  interlaced: boolean;
  significant: boolean; // it says how many bits are used
  clear: boolean; // it names a clear color, or those of a palette
  frames: number;
  exif: Uint8Array | null;
  xmp: string;
}

const PALETTE = 3;
const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

export function png(bytes: Uint8Array<ArrayBuffer>, bitDepth: number): Decoded {
  const said = chunks(bytes);
  within(said.width, said.height);
  if (said.depth === 16 && said.significant) {
    throw new Refusal(
      "a 16-bit PNG that says how many of its bits are used (sBIT), which this page cannot reduce to 8 bits as " +
        "`onlygood score` does: save it without that chunk, or with 8 bits",
    );
  }
  if (said.interlaced && said.depth < 8) {
    throw new Refusal("an interlaced PNG of less than 8 bits, which this page does not read: save it with 8 bits");
  }
  let image;
  try {
    image = decode(bytes, { checkCrc: true });
  } catch {
    throw new Refusal("a damaged or incomplete PNG file");
  }
  const { width, height } = said;
  const channels = CHANNELS[said.kind]!;
  const samples = said.depth < 8 ? unpacked(image.data as Uint8Array, width, height, said) : image.data;
  const colors = said.kind === 0 || said.kind === 4 ? 1 : 3;
  const data = new Uint8Array(width * height * colors);
  if (said.kind === PALETTE) {
    const palette = image.palette ?? [];
    for (let i = 0; i < samples.length; i++) data.set((palette[samples[i]!] ?? [0, 0, 0]).slice(0, 3), 3 * i);
  } else {
    const shift = said.depth === 16 ? bitDepth - 8 : 0;
    for (let i = 0, at = 0; i < samples.length; i += channels) {
      for (let c = 0; c < colors; c++) data[at++] = Math.min(255, samples[i + c]! >> shift);
    }
  }
  const notes = said.frames > 1 ? [`frames: page 1 of ${said.frames}`] : [];
  notes.push(...profileNote(image.iccEmbeddedProfile?.profile ?? null));
  const full = said.depth === 16 ? 0xff00 : 255;
  const clear = channels > colors && samples.some((value, i) => i % channels === colors && value < full);
  if (clear || said.clear) notes.push("alpha: transparent pixels are read with the color that they hide");
  const clips = said.depth === 16 && bitDepth < 16 && samples.some((value) => value >= 2 ** bitDepth);
  if (clips) notes.push(`bit depth: values beyond ${bitDepth} bits were clipped`);
  const raster: Raster = { width, height, channels: colors, data };
  return { raster, orientation: orientation(said.exif, said.xmp), notes };
}

/** Samples of 1, 2 or 4 bits, one a byte; gray ones stretched to 255. */
function unpacked(packed: Uint8Array, width: number, height: number, { depth, kind }: Chunks): Uint8Array {
  const row = Math.ceil((width * depth) / 8);
  const most = 2 ** depth - 1;
  const unit = kind === PALETTE ? 1 : 255 / most;
  const out = new Uint8Array(width * height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      out[at++] = ((packed[y * row + (bit >> 3)]! >> (8 - depth - (bit & 7))) & most) * unit;
    }
  }
  return out;
}

/** What stands beside the pixels. */
function chunks(bytes: Uint8Array<ArrayBuffer>): Chunks {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Chunks = {
    width: 0,
    height: 0,
    depth: 0,
    kind: 0,
    interlaced: false,
    significant: false,
    clear: false,
    frames: 1,
    exif: null,
    xmp: "",
  };
  let kind = "";
  for (let at = 8; kind !== "IEND"; ) {
    if (at + 12 > bytes.length) throw new Refusal("an incomplete PNG file: its end is missing");
    const length = view.getUint32(at);
    kind = ascii(bytes, at + 4, 4);
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (at + 12 + length > bytes.length) throw new Refusal("an incomplete PNG file: its end is missing");
    if (kind === "IHDR" && length >= 13) {
      found.width = view.getUint32(at + 8);
      found.height = view.getUint32(at + 12);
      [found.depth, found.kind] = [body[8]!, body[9]!];
      found.interlaced = body[12] === 1;
    } else if (kind === "sBIT") found.significant = true;
    else if (kind === "tRNS") found.clear = true;
    else if (kind === "acTL" && length >= 4) found.frames = view.getUint32(at + 8);
    else if (kind === "eXIf") found.exif = body;
    else if (kind === "iTXt" && ascii(body, 0, 17) === "XML:com.adobe.xmp") found.xmp = ascii(body, 0, length);
    at += 12 + length;
  }
  if (!(found.kind in CHANNELS) || !found.width || !found.height) throw new Refusal("a damaged PNG file");
  return found;
}
