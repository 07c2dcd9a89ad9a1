// The camera of this device: a live picture, of which single frames are judged.

import { byId, el } from "../report/dom";
import type { Picture } from "./contract";

let stream: MediaStream | null = null;

const video = () => byId<HTMLVideoElement>("video");

export function cameraWorks(): boolean {
  return isSecureContext && "mediaDevices" in navigator;
}

/** Switch it on or off; `say` tells what does not work. */
export async function switchCamera(say: (words: string) => void): Promise<void> {
  if (stream !== null) return switchOff();
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } },
    });
  } catch (error) {
    const denied = error instanceof DOMException && error.name === "NotAllowedError";
    say(denied ? "The camera may not be used: allow it for this page in the browser." : `No camera: ${error}`);
    return;
  }
  byId("camera").hidden = false;
  byId("camera-switch").setAttribute("aria-pressed", "true");
  video().srcObject = stream;
  await video().play();
}

function switchOff(): void {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  video().srcObject = null;
  byId("camera").hidden = true;
  byId("camera-switch").setAttribute("aria-pressed", "false");
}

/** What the camera sees now; null while it sees nothing. */
export function frame(): Picture | null {
  const { videoWidth: width, videoHeight: height } = video();
  if (stream === null || !width || !height) return null;
  const context = el("canvas", { width, height }).getContext("2d", { willReadFrequently: true })!;
  context.drawImage(video(), 0, 0);
  return { width, height, rgba: context.getImageData(0, 0, width, height).data as Picture["rgba"] };
}
