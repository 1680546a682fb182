/** A .tflite file -> an async function from the values of a square picture to {name: values}. */

import { loadAndCompile, loadLiteRt, Tensor, unloadLiteRt } from "@litertjs/core";

const FOLDER = "./vendor/@litertjs/core/wasm/";
let loaded = null;

/**
 * Loads the runtime: "cpu" (WebAssembly, threads where the server's headers allow them) or "gpu" (WebGPU; what it
 * cannot do is left to WebAssembly, which needs JSPI).
 */
export async function loadRuntime(processor) {
  if (loaded === processor) return;
  if (loaded) unloadLiteRt();
  loaded = null;
  // Its notes on how it starts are no errors, which its default for them would make of them.
  globalThis.Module = { printErr: (text) => console.debug(text) };
  const threads = globalThis.crossOriginIsolated && navigator.hardwareConcurrency > 1;
  await loadLiteRt(FOLDER, processor === "gpu" ? { jspi: true } : { threads });
  loaded = processor;
}

/** Loads the network at an address whose pictures have size x size pixels. */
export async function loadNetwork(address, size) {
  const model = await loadAndCompile(address, { accelerator: loaded === "gpu" ? "webgpu" : "wasm" });
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
