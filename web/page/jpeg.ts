// JPEG files, decoded by libjpeg-turbo as in Pillow (here in the form of MozJPEG): the same pixels in every
// browser, whose own decoders differ from each other and apply color profiles.

import decode, { init } from "@jsquash/jpeg/decode";
import { type Raster, Refusal } from "./contract";
import { orientation } from "./exif";
import { type Decoded, ascii, profileNote, within } from "./file";

interface Segments {
  width: number;
  height: number;
  components: number;
  exif: Uint8Array | null;
  xmp: string;
  profile: Uint8Array | null;
}

let complaints: string[] = []; // of the decoder, about the file at hand

/** Tell once what the decoder is. */
export async function useJpegDecoder(wasm: BufferSource): Promise<void> {
  const module = await WebAssembly.compile(wasm);
  await init({
    instantiateWasm: (imports: WebAssembly.Imports, ready: (instance: WebAssembly.Instance) => void) => {
      const instance = new WebAssembly.Instance(module, imports);
      ready(instance);
      return instance.exports;
    },
    printErr: (words: string) => complaints.push(words),
  } as Parameters<typeof init>[0]);
}

export async function jpeg(bytes: Uint8Array<ArrayBuffer>): Promise<Decoded> {
  const said = segments(bytes);
  within(said.width, said.height);
  let image: ImageData;
  complaints = [];
  try {
    image = await decode(bytes.slice().buffer);
  } catch {
    throw new Refusal("a damaged JPEG file");
  }
  // What decoders make of damaged pixels differs.
  if (complaints.length) throw new Refusal(`a damaged JPEG file (${complaints[0]!.toLowerCase()})`);
  const { width, height } = said;
  if (image.width !== width || image.height !== height) throw new Refusal("a damaged JPEG file");
  const channels = said.components === 1 ? 1 : 3;
  const data = new Uint8Array(width * height * channels);
  for (let i = 0, at = 0; at < data.length; i += 4) {
    for (let c = 0; c < channels; c++) data[at++] = image.data[i + c]!;
  }
  const raster: Raster = { width, height, channels, data };
  return { raster, orientation: orientation(said.exif, said.xmp), notes: profileNote(said.profile) };
}

/** What stands before the pixels, and whether they end. */
function segments(bytes: Uint8Array<ArrayBuffer>): Segments {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Segments = { width: 0, height: 0, components: 0, exif: null, xmp: "", profile: null };
  let at = 2;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) throw new Refusal("a damaged JPEG file");
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2;
      continue;
    }
    const length = view.getUint16(at + 2);
    const body = bytes.subarray(at + 4, at + 2 + length);
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) readFrame(marker, body, found);
    if (marker === 0xe1 && ascii(body, 0, 6) === "Exif\0\0") found.exif ??= body.subarray(6);
    if (marker === 0xe1 && ascii(body, 0, 29) === "http://ns.adobe.com/xap/1.0/\0") {
      found.xmp = ascii(body, 29, body.length);
    }
    if (marker === 0xe2 && ascii(body, 0, 12) === "ICC_PROFILE\0") found.profile ??= body.subarray(14);
    at += 2 + length;
    if (marker !== 0xda) continue;
    for (; at + 1 < bytes.length; at++) if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return found;
  }
  throw new Refusal("an incomplete JPEG file: its end is missing");
}

function readFrame(marker: number, body: Uint8Array, found: Segments): void {
  if (![0xc0, 0xc1, 0xc2].includes(marker)) {
    throw new Refusal("a JPEG of a rare kind (arithmetic coding or lossless), which this page does not read");
  }
  if (body[0] !== 8) throw new Refusal("a JPEG of more than 8 bits, which is not read");
  found.height = (body[1]! << 8) | body[2]!;
  found.width = (body[3]! << 8) | body[4]!;
  found.components = body[5]!;
  if (found.components !== 1 && found.components !== 3) {
    throw new Refusal("a JPEG in printing colors (CMYK), which this page does not read: save it in RGB");
  }
}
