// What the Python side wrote: see onlygood/deploy/report/document.py.

export type Estimate = { value: number; low: number; high: number };
export type Status = "normal" | "anomalous" | "unusable" | "error";
export type Box = [number, number, number, number]; // left, upper, right, lower, in shares of the image
export type Picture = [string, string, Box?]; // thumbnail, heatmap (gray), where the heatmap lies

type Columns = {
  name: string[];
  folder: number[];
  status: Status[];
  score: (number | null)[];
  width: (number | null)[];
  height: (number | null)[];
  ms: (number | null)[];
  label: (0 | 1 | null)[];
  defect: (number | null)[];
  seen: (0 | 1)[];
  copies: (number | null)[];
  raw: Record<string, string>; // names that are not UTF-8, percent-encoded
  error: Record<string, string>;
  notes: Record<string, string[]>;
};

export type Data = {
  schema: number;
  onlygood: string;
  made: string;
  model: { product: string; what: string; sha256: string; facts: [string, string][]; promise: string[]; remarks: string[] };
  rate: number;
  threshold: number;
  calibration: { scores: number[]; weights: number[] | null; unit: "images" | "parts" };
  found: string[];
  knows_seen: boolean;
  measures: null | {
    against: "images" | "calibration"; // whose scores the good ones' are
    auroc: Estimate;
    average_precision: Estimate;
    fpr95: Estimate;
    roc_band: [number[], number[]];
    precision_band: [number[], number[]];
    per_defect: Record<string, Estimate>;
  };
  run: { seconds: number; per_image_ms: [number, number] | null };
  folders: { name: string; path: string; link: string | null }[];
  defects: string[];
  images: Columns;
};

export type Image = {
  index: number;
  name: string;
  folder: number;
  score: number | null;
  status: Status; // as the model's own threshold has it
  label: 0 | 1 | null;
  defect: string; // "" if it is not called anomalous
  seen: boolean;
  copies: number | null;
  width: number;
  height: number;
  error: string;
  notes: string[];
};

function block<T>(id: string): T {
  return JSON.parse(document.getElementById(id)!.textContent!) as T;
}

export const data = block<Data>("data");
export const pictures = block<Record<string, Picture>>("pictures");

const columns = data.images;
export const images: Image[] = columns.name.map((name, index) => {
  const kind = columns.defect[index];
  return {
    index,
    name,
    folder: columns.folder[index]!,
    score: columns.score[index]!,
    status: columns.status[index]!,
    label: columns.label[index]!,
    defect: kind == null ? "" : data.defects[kind]!,
    seen: columns.seen[index] === 1,
    copies: columns.copies[index]!,
    width: columns.width[index] ?? 1,
    height: columns.height[index] ?? 1,
    error: columns.error[index] ?? "",
    notes: columns.notes[index] ?? [],
  };
});

/** Images that count: scored, and not known to the model. */
export const counted = images.filter((image) => image.score !== null && !image.seen);
export const labeled = counted.filter((image) => image.label !== null);

export function folderName(image: Image): string {
  return data.folders[image.folder]!.name;
}

/** The name as it stands in addresses and, decoded, in lists. */
function encodedName(image: Image): string {
  return columns.raw[image.index] ?? encodeURIComponent(image.name);
}

/** The address of the file beside this page, if there is one. */
export function link(image: Image): string | null {
  const folder = data.folders[image.folder]!.link;
  return folder === null ? null : folder + encodedName(image);
}

/** The bytes of the file's absolute path; on most systems a name may be any bytes. */
export function pathBytes(image: Image): Uint8Array {
  const encoded = data.folders[image.folder]!.path + encodedName(image);
  const bytes: number[] = [];
  for (let at = 0; at < encoded.length; at++) {
    if (encoded[at] === "%") {
      bytes.push(parseInt(encoded.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(encoded.charCodeAt(at));
    }
  }
  return Uint8Array.from(bytes);
}
