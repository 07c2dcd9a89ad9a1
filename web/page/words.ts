// Verdicts in words, and as a table like that of `onlygood score`.

import type { Model, Verdict } from "./contract";
import { significant } from "./digits";

export interface Entry {
  name: string;
  verdict: Verdict | null;
  refusal: string; // why there is no verdict
}

export const HEADLINES = { normal: "Normal", anomalous: "Anomalous", unusable: "Cannot be judged" } as const;

export function headline({ verdict }: Entry): string {
  return verdict === null ? "Not read" : HEADLINES[verdict.status];
}

export function digits(value: number): string {
  return significant(value, 6).toString();
}

/** What the score is and what it means, beside good images. */
export function meaning(verdict: Verdict, model: Model): string[] {
  const side = verdict.score > model.threshold ? "above" : "not above";
  const lines = [`Score ${digits(verdict.score)}, ${side} the limit of ${digits(model.threshold)}.`];
  const { scores, weights, unit } = model.calibration;
  const p = `p\u00a0=\u00a0${significant(verdict.p, 3)}`;
  if (weights === null) {
    const high = scores.filter((good) => good >= verdict.score).length;
    lines.push(`${high === 0 ? "None" : high} of ${scores.length} good images scored as high (${p}).`);
  } else {
    lines.push(`As odd as ${percent(verdict.p)} of good ${unit} (${p}).`);
  }
  return lines;
}

export function percent(share: number): string {
  return `${significant(100 * share, 3)} %`;
}

const COLUMNS = ["path", "status", "score", "threshold", "anomalous", "p_value", "width", "height", "ms", "error"];

/** CSV with the columns of `onlygood score`. */
export function table(entries: Entry[], model: Model): string {
  const rows = entries.map(({ name, verdict, refusal }) => {
    if (verdict === null) return [name, "error", "", model.threshold, "", "", "", "", "", refusal];
    const { status, score, p, reason, width, height, ms } = verdict;
    const anomalous = status === "unusable" ? "" : Number(status === "anomalous");
    return [name, status, score, model.threshold, anomalous, p, width, height, ms.toFixed(1), reason];
  });
  return [COLUMNS, ...rows].map((row) => row.map(cell).join(",") + "\n").join("");
}

/** As `csv_line` of `onlygood/runtime/rows/verdicts.py` writes it for spreadsheets. */
export function cell(value: string | number): string {
  const text = typeof value === "string" && /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(value) ? `'${value}` : String(value); // no formula
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
