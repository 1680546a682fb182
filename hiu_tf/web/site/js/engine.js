/** The networks with their cards, computed by WebAssembly or, where there is one, by the graphics card. */

import { handArrays } from "./fit/arrays.js";
import { EvidenceFit } from "./fit/fit.js";
import { Predictor } from "./predictor.js";
import { loadNetwork, loadRuntime } from "./network.js";

/** Who computes what; of WebGPU's plans the first one whose answers are those of WebAssembly is taken. */
const PLANS = {
  cpu: [{ detector: "wasm", hand: "wasm" }],
  gpu: [{ detector: "webgpu", hand: "webgpu" }, { detector: "webgpu", hand: "wasm" }],
};
/** An answer of WebGPU may be so far from WebAssembly's: of the 2D joints in pixels, of the detector's maps in logits. */
const MOST_APART = 0.5;
const CHECKED = { hand: "joints_2d", detector: "hands" };

export class Engine {
  /** @param site the content of site.json. */
  constructor(site) {
    this.site = site;
    this.expected = null;
  }

  /** Fetches cards and hand model, and loads the networks for WebAssembly. */
  async start() {
    const kinds = Object.keys(CHECKED);
    const cards = await Promise.all(kinds.map((kind) => fetchJson(this.site.models[kind].card)));
    this.cards = Object.fromEntries(kinds.map((kind, k) => [kind, cards[k]]));
    const [index, numbers] = await Promise.all([fetchJson(this.site.hand.index), fetched(this.site.hand.arrays)]);
    this.fit = new EvidenceFit(handArrays(index, await numbers.arrayBuffer()), this.cards.hand.camera);
    await this.use("cpu");
    this.expected = await this.answers();
  }

  /** Loads the networks for "cpu" or "gpu"; gives the plan that works. Throws where none does. */
  async use(processor) {
    let problem = null;
    for (const plan of PLANS[processor]) {
      try {
        await this.follow(plan);
        return plan;
      } catch (error) {
        problem = error;
      }
    }
    throw problem;
  }

  async follow(plan) {
    await loadRuntime(plan.detector === "webgpu");
    this.networks = {};
    for (const [kind, card] of Object.entries(this.cards)) {
      this.networks[kind] = await loadNetwork(this.site.models[kind].file, card.image_size, plan[kind]);
    }
    if (this.expected) this.compare(await this.answers());
    this.predictor = new Predictor(this.networks, this.cards, (raw, shape) => this.fit.fitted(raw, shape));
  }

  /** What the networks say of a made-up picture. */
  async answers() {
    const answers = {};
    for (const [kind, card] of Object.entries(this.cards)) {
      answers[kind] = (await this.networks[kind](blob(card.image_size)))[CHECKED[kind]];
    }
    return answers;
  }

  compare(answers) {
    for (const [kind, values] of Object.entries(answers)) {
      const apart = values.reduce((most, value, k) => Math.max(most, Math.abs(value - this.expected[kind][k])), 0);
      if (!(apart < MOST_APART)) throw new Error(`the ${kind} network's answers are ${apart.toFixed(1)} off`);
    }
  }
}

/** A file of the site, as JSON. */
export async function fetchJson(address) {
  return (await fetched(address)).json();
}

/** The answer for a file of the site. */
export async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} is missing on this server (${answer.status})`);
  return answer;
}

/** A square picture with something to see in it. */
function blob(size) {
  const values = new Float32Array(3 * size * size);
  for (let k = 0; k < size * size; k++) {
    const [x, y] = [(k % size) / size - 0.5, Math.floor(k / size) / size - 0.5];
    values.fill(Math.exp(-8 * (x * x + 2 * y * y)), 3 * k, 3 * k + 3);
  }
  return values;
}
