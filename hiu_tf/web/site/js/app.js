/** The page: what its buttons do, one picture or one camera at a time. */

import { Camera, Rate } from "./camera.js";
import { draw } from "./draw.js";
import { Engine, fetched, fetchJson } from "./engine.js";
import { glb, predictionJson } from "./files.js";
import { MeshView } from "./mesh.js";
import { inWords, Panel } from "./panel.js";
import { FrameReader, readPicture } from "./picture.js";
import { cameraError, whyNo3D, whyNoCamera, whyNoGpu, whyNoNetwork } from "./support.js";
import { Tracker } from "./tracker.js";

const MOST_FOLLOWED = 4;
const $ = (id) => document.getElementById(id);
const camera = new Camera($("video"));
const panel = new Panel($("count"), $("hands"), chosen);
let [site, engine, meshView] = [null, null, null];
/** What is shown: {name, canvas, hands, mirrored}. */
let shown = null;
/** The last thing that was begun; each waits for the one before, as the networks take one picture at a time. */
let turn = Promise.resolve();

start();

async function start() {
  note(whyNoCamera());
  const problem = whyNoNetwork();
  if (problem) return say(problem);
  try {
    site = await fetchJson("site.json");
    engine = new Engine(site);
    await engine.start();
    startMesh();
  } catch (error) {
    return say(`The networks could not be loaded: ${error.message}`);
  }
  $("about").textContent = about();
  listen();
  for (const id of ["choose", "sample"]) $(id).disabled = false;
  $("camera").disabled = whyNoCamera() !== "";
  say("Ready. Choose a picture, drop one, or use the camera.");
}

function startMesh() {
  const problem = whyNo3D();
  note(problem);
  if (problem) return;
  meshView = new MeshView($("mesh"), engine.cards.hand.faces);
  turnMesh(meshView.isTurning);
}

function turnMesh(is) {
  meshView.isTurning = is;
  $("turn").textContent = is ? "Stop turning" : "Turn";
}

function listen() {
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    if ($("file").files[0]) open($("file").files[0]);
    $("file").value = ""; // so that the same file can be chosen again
  });
  $("sample").addEventListener("click", openSample);
  $("camera").addEventListener("click", () => (camera.isOn ? stopCamera() : inTurn(startCamera)));
  $("processor").addEventListener("change", () => inTurn(changeProcessor));
  for (const id of ["skeleton", "mask"]) $(id).addEventListener("change", redraw);
  $("turn").addEventListener("click", () => turnMesh(!meshView.isTurning));
  $("json").addEventListener("click", () => save("json", JSON.stringify(predictionJson(shown.name, shown.hands, site))));
  $("glb").addEventListener("click", () => save("glb", glb(panel.hand, engine.cards.hand.faces)));
  listenForDrops($("stage").classList);
  document.addEventListener("paste", (event) => event.clipboardData.files[0] && open(event.clipboardData.files[0]));
}

/** Anywhere on the page: beside the stage a browser would leave the page and show the file. */
function listenForDrops(look) {
  const over = (event, is) => {
    event.preventDefault();
    look.toggle("is-over", is);
  };
  document.addEventListener("dragover", (event) => over(event, true));
  document.addEventListener("dragleave", (event) => over(event, false));
  document.addEventListener("drop", (event) => {
    over(event, false);
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
}

function openSample() {
  inTurn(async () => open(new File([await (await fetched(site.sample)).blob()], site.sample)));
}

/** Finds and shows the hands of a picture file. */
function open(file) {
  inTurn(async () => {
    stopCamera(); // in turn: it may be starting still
    say(`Looking at ${file.name} …`);
    const { canvas, pixels, shrunkFrom } = await readPicture(file);
    const began = performance.now();
    const hands = await engine.predictor.predict(pixels);
    const spent = Math.round(performance.now() - began);
    show({ name: file.name, canvas, hands, mirrored: false });
    const size = shrunkFrom ? ` (${shrunkFrom.join("×")} pixels, made smaller: ${canvas.width}×${canvas.height})` : "";
    say(`${file.name}${size}: ${inWords(hands)}. ${spent} ms.`);
  });
}

async function startCamera() {
  if (camera.isOn) return; // the button was pressed twice while the browser asked
  say("Asking for the camera …");
  try {
    await camera.start(stopCamera);
  } catch (error) {
    camera.stop();
    return say(cameraError(error));
  }
  cameraIs(true);
  say("The camera is on. Show a hand.");
  follow();
}

/** Not in turn: it goes on until the camera is stopped, and each frame takes its own turn. */
function follow() {
  const [tracker, reader, rate] = [new Tracker(engine.predictor, MOST_FOLLOWED), new FrameReader(), new Rate()];
  camera.each((video) =>
    inTurn(async () => {
      if (!camera.isOn) return;
      const { canvas, pixels } = reader.read(video);
      tracker.predictor = engine.predictor;
      const hands = await tracker.next(pixels);
      if (!camera.isOn) return;
      show({ name: "camera", canvas, hands, mirrored: camera.isMirror });
      $("rate").textContent = `${rate.tick().toFixed(1)} frames a second`;
    }),
  );
}

function stopCamera() {
  if (!camera.isOn) return;
  camera.stop();
  cameraIs(false);
  say("The camera is off.");
}

function cameraIs(on) {
  $("camera").setAttribute("aria-pressed", on);
  $("camera").textContent = on ? "Stop the camera" : "Use the camera";
  $("rate").hidden = !on;
}

async function changeProcessor() {
  const wanted = $("processor").value;
  const problem = wanted === "gpu" ? await whyNoGpu() : "";
  if (problem) return withoutGpu(problem);
  try {
    say("Loading the networks again …");
    const plan = await engine.use(wanted);
    const [detector, hand] = [plan.detector, plan.hand].map((by) => (by === "wasm" ? "WebAssembly" : "WebGPU"));
    say(`Hands are found by ${detector} and read by ${hand} from now on.`);
  } catch (error) {
    await engine.use("cpu");
    withoutGpu(error.message);
  }
}

function withoutGpu(problem) {
  $("processor").value = "cpu";
  say(`Computed by WebAssembly, as WebGPU cannot be used: ${problem}`);
}

function show(next) {
  shown = next;
  $("stage").classList.remove("is-empty");
  panel.show(next.hands);
  $("json").disabled = false;
  $("view").setAttribute("aria-label", `${next.name}: ${inWords(next.hands)}`);
  redraw();
}

function redraw() {
  if (!shown) return;
  const options = { skeleton: $("skeleton").checked, mask: $("mask").checked, mirrored: shown.mirrored };
  draw($("view"), shown.canvas, shown.hands, engine.cards.hand.bones, options);
}

function chosen(hand) {
  meshView?.show(hand);
  if (meshView && hand) $("model").hidden = false; // until then there is nothing to turn
  $("glb").disabled = hand === null;
}

/** Runs an async function after those before it; an error becomes a sentence. */
function inTurn(work) {
  turn = turn.then(work).catch((error) => say(error.message));
  return turn;
}

function save(suffix, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content]));
  link.download = `${shown.name.replace(/\.[^.]*$/, "")}.${suffix}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it later than they are told to
}

function say(text) {
  $("status").textContent = text;
}

function note(text) {
  if (!text) return;
  const line = document.createElement("p");
  Object.assign(line, { className: "note", textContent: text });
  $("notes").append(line);
}

function about() {
  const { hand } = engine.cards;
  return `hiu-tf ${site.hiu_tf} with ${hand.name} and ${engine.cards.detector.name}; hand model: ${hand.hand.name}, ${hand.hand.licence}.`;
}
