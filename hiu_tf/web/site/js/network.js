/** A .tflite file -> an async function from the values of a square picture to {name: values}. */

import { loadAndCompile, loadLiteRt, Tensor, unloadLiteRt } from "@litertjs/core";

const FOLDER = "./vendor/@litertjs/core/wasm/";
let isLoaded = false;

/**
 * Loads the runtime anew: with threads where the server's headers allow them, or for WebGPU, whose part of the work is
 * mixed with WebAssembly's, which needs JSPI.
 */
export async function loadRuntime(withGpu) {
  if (isLoaded) unloadLiteRt();
  isLoaded = false;
  // Its notes on how it starts are no errors, which its default for them would make of them.
  globalThis.Module = { printErr: (text) => console.debug(text) };
  const threads = globalThis.crossOriginIsolated && navigator.hardwareConcurrency > 1;
  await loadLiteRt(FOLDER, withGpu ? { jspi: true } : { threads });
  isLoaded = true;
}

/** Loads the network at an address, whose pictures have size x size pixels, for "wasm" or "webgpu". */
export async function loadNetwork(address, size, accelerator) {
  const model = await loadAndCompile(address, { accelerator });
  return async (values) => {
    const image = new Tensor(values, [1, size, size, 3]);
    const outputs = await model.run({ image });
    image.delete();
    const named = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      named[name] = Float32Array.from(await tensor.data());
      tensor.delete();
    }
    return named;
  };
}
