/** The turning 3D view of one hand. */

import * as three from "../vendor/three/build/three.module.min.js";
import { outward, upright } from "./orientation.js";

const DISTANCE = 0.5;
const TURN_A_SECOND = 0.6;
const STEP = Math.PI / 12;

export class MeshView {
  /**
   * @param canvas where it is drawn; takes arrow keys, + and -, and drags.
   * @param faces [[a, b, c], ...] of a right hand.
   */
  constructor(canvas, faces) {
    this.canvas = canvas;
    this.faces = faces;
    this.renderer = new three.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.camera = new three.PerspectiveCamera(30, 1, 0.01, 5);
    this.camera.position.z = DISTANCE;
    this.scene = new three.Scene();
    const sun = new three.DirectionalLight(0xffffff, 2.2);
    sun.position.set(-0.4, 0.8, 1);
    this.scene.add(sun, new three.HemisphereLight(0xffffff, 0x8a7f95, 1.6));
    this.shape = new three.BufferGeometry();
    this.mesh = new three.Mesh(this.shape, new three.MeshStandardMaterial({ color: 0xc9a58f, roughness: 0.75 }));
    this.scene.add(this.mesh);
    this.isTurning = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.side = null;
    this.mesh.visible = false;
    this.isStale = true;
    this.listen();
    this.last = performance.now();
    this.renderer.setAnimationLoop((now) => this.tick(now));
  }

  /** Shows a hand; null shows none. */
  show(hand) {
    this.mesh.visible = hand !== null;
    this.isStale = true;
    if (!hand) return;
    if (hand.side !== this.side) {
      this.side = hand.side;
      this.shape.setIndex(outward(this.faces, hand.side).flat());
    }
    this.shape.setAttribute("position", new three.BufferAttribute(upright(hand.vertices), 3));
    this.shape.computeVertexNormals();
    this.shape.computeBoundingSphere();
    const { center } = this.shape.boundingSphere;
    this.shape.translate(-center.x, -center.y, -center.z);
  }

  tick(now) {
    const seconds = Math.min((now - this.last) / 1000, 0.1);
    this.last = now;
    if (this.isTurning && this.mesh.visible) this.turn(TURN_A_SECOND * seconds, 0);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const { x, y } = this.renderer.getSize(new three.Vector2());
    if (!width || !height || (!this.isStale && x === width && y === height)) return;
    this.isStale = false;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.renderer.render(this.scene, this.camera);
  }

  turn(across, down) {
    this.isStale = true;
    this.mesh.rotation.y += across;
    this.mesh.rotation.x = Math.min(Math.max(this.mesh.rotation.x + down, -1.5), 1.5);
  }

  zoom(factor) {
    this.isStale = true;
    this.camera.position.z = Math.min(Math.max(this.camera.position.z * factor, 0.2), 1.5);
  }

  listen() {
    const keys = {
      ArrowLeft: () => this.turn(-STEP, 0),
      ArrowRight: () => this.turn(STEP, 0),
      ArrowUp: () => this.turn(0, -STEP),
      ArrowDown: () => this.turn(0, STEP),
      "+": () => this.zoom(0.9),
      "-": () => this.zoom(1.1),
    };
    this.canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    this.canvas.addEventListener("pointerdown", (event) => this.canvas.setPointerCapture(event.pointerId));
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) this.turn(event.movementX / 100, event.movementY / 100);
    });
  }
}
