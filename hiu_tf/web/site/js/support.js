/** What this browser lacks, in sentences. */

/** The smallest module with a 128-bit value: valid where WebAssembly knows SIMD. */
const SIMD = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11);

/** Why nothing can be computed here; "" where it can. */
export function whyNoNetwork() {
  if (typeof WebAssembly !== "object") {
    return "This browser has no WebAssembly (or it is switched off), which the networks need. A current Chrome, Edge, Firefox or Safari has it.";
  }
  if (!WebAssembly.validate(SIMD)) {
    return "This browser's WebAssembly has no SIMD, which the networks need. A current Chrome, Edge, Firefox or Safari has it.";
  }
  return "";
}

/** Why there is no 3D view; "" where there is one. */
export function whyNo3D() {
  return document.createElement("canvas").getContext("webgl2")
    ? ""
    : "This browser offers no WebGL, so that the turning 3D view is left out; the mesh can still be downloaded.";
}

/** Why the camera cannot be asked for; "" where it can. */
export function whyNoCamera() {
  if (!globalThis.isSecureContext) return "The camera needs HTTPS (or this computer's own address, localhost).";
  return navigator.mediaDevices?.getUserMedia ? "" : "This browser offers no access to cameras.";
}

/** Why the graphics processor cannot be used; "" where it can. */
export async function whyNoGpu() {
  if (!navigator.gpu) return "This browser offers no WebGPU.";
  if (!("Suspending" in WebAssembly)) return "This browser lacks JSPI, without which WebGPU cannot share work with WebAssembly.";
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  return adapter ? "" : "This device offers no graphics processor to WebGPU.";
}

/** What went wrong with getUserMedia. */
export function cameraError(error) {
  const words = {
    NotAllowedError: "The camera was not allowed. Allow it in the browser's settings for this page, then try again.",
    NotFoundError: "No camera was found.",
    NotReadableError: "The camera is in use by another program.",
  };
  return words[error.name] ?? `The camera does not start: ${error.message}`;
}
