/** The networks with their cards, on the processor or on the graphics card. */

import { handArrays } from "./fit/arrays.js";
import { EvidenceFit } from "./fit/fit.js";
import { Predictor } from "./predictor.js";
import { loadNetwork, loadRuntime } from "./network.js";

/** A graphics card may say 2D joints that are so far (pixels of the crop) from what the processor says. */
const MOST_APART = 0.5;

export class Engine {
  /** @param site the content of site.json. */
  constructor(site) {
    this.site = site;
    this.expected = null;
  }

  /** Fetches the cards and loads the networks on the processor. */
  async start() {
    const kinds = ["hand", "detector"];
    const cards = await Promise.all(kinds.map((kind) => fetchJson(this.site.models[kind].card)));
    this.cards = Object.fromEntries(kinds.map((kind, k) => [kind, cards[k]]));
    const [index, numbers] = await Promise.all([fetchJson(this.site.hand.index), fetched(this.site.hand.arrays)]);
    this.fit = new EvidenceFit(handArrays(index, await numbers.arrayBuffer()), this.cards.hand.camera);
    await this.use("cpu");
    this.expected = (await this.networks.hand(testCrop(this.cards.hand.image_size))).joints_2d;
  }

  /** Loads the networks on "cpu" or "gpu". Throws where the graphics card fails or computes something else. */
  async use(processor) {
    await loadRuntime(processor);
    this.networks = {};
    for (const [kind, card] of Object.entries(this.cards)) {
      this.networks[kind] = await loadNetwork(this.site.models[kind].file, card.image_size);
    }
    if (processor === "gpu") await this.check();
    this.predictor = new Predictor(this.networks, this.cards, (raw) => this.fit.fitted(raw));
  }

  async check() {
    const { joints_2d: joints } = await this.networks.hand(testCrop(this.cards.hand.image_size));
    const apart = Math.max(...joints.map((value, k) => Math.abs(value - this.expected[k])));
    if (!(apart < MOST_APART)) throw new Error(`its answers are ${apart.toFixed(1)} pixels from the processor's`);
  }
}

/** A file of the site, as JSON. */
export async function fetchJson(address) {
  return (await fetched(address)).json();
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address} is missing on this server (${answer.status})`);
  return answer;
}

/** A crop with something to see in it: a bright blob. */
function testCrop(size) {
  const values = new Float32Array(3 * size * size);
  for (let k = 0; k < size * size; k++) {
    const [x, y] = [(k % size) / size - 0.5, Math.floor(k / size) / size - 0.5];
    values.fill(Math.exp(-8 * (x * x + 2 * y * y)), 3 * k, 3 * k + 3);
  }
  return values;
}
