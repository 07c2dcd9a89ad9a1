// What a person has marked, as a list that `evaluate`, `fit --exclude` and other commands read.

import { images, pathBytes } from "./data";
import { byId } from "./dom";
import { clearMarks, on, state } from "./state";

let saved = 0; // marks in the last list that was downloaded

export function marks(): void {
  byId("download").addEventListener("click", download);
  byId("forget").addEventListener("click", () => {
    if (window.confirm("Forget all marks?")) clearMarks();
  });
  on("marks", count);
  count();
  window.addEventListener("beforeunload", (event) => {
    if (state.marks.size > 0 && state.marks.size !== saved && !storage()) event.preventDefault();
  });
}

function count(): void {
  const values = [...state.marks.values()];
  const good = values.filter((value) => value === "good").length;
  byId("marked").textContent = `Marked: ${good} fine, ${values.length - good} bad`;
  byId("marks-bar").hidden = values.length === 0;
}

/** `path,label`, a line for each mark; paths are absolute, in quotes, with the bytes that the disk has. */
export function csv(): Uint8Array {
  const encoder = new TextEncoder();
  const bytes: number[] = [...encoder.encode("path,label\n")];
  for (const [index, value] of [...state.marks].sort(([a], [b]) => a - b)) {
    bytes.push(34);
    for (const byte of pathBytes(images[index]!)) bytes.push(...(byte === 34 ? [34, 34] : [byte]));
    bytes.push(34, ...encoder.encode(`,${value}\n`));
  }
  return Uint8Array.from(bytes);
}

function download(): void {
  const address = URL.createObjectURL(new Blob([csv() as BlobPart], { type: "text/csv" }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = "marks.csv";
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  saved = state.marks.size;
}

/** Whether the browser keeps marks for this page. */
function storage(): boolean {
  try {
    localStorage.setItem("onlygood", "");
    return true;
  } catch {
    return false;
  }
}
