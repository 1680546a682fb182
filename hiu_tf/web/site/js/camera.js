/** The camera's frames, one after the other, as fast as they can be read. */

export class Camera {
  /** @param video the element that plays the stream. */
  constructor(video) {
    this.video = video;
    this.stream = null;
  }

  get isOn() {
    return this.stream !== null;
  }

  /** Asks for the camera; resolves when it shows frames. `onEnd` is called when it is unplugged or taken away. */
  async start(onEnd) {
    const wanted = { video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" }, audio: false };
    this.stream = await navigator.mediaDevices.getUserMedia(wanted);
    this.stream.getVideoTracks()[0].addEventListener("ended", onEnd);
    this.video.srcObject = this.stream;
    await this.video.play();
  }

  /** Whether the picture is to be shown as in a mirror: all cameras but those that look away from the person. */
  get isMirror() {
    return this.stream?.getVideoTracks()[0]?.getSettings().facingMode !== "environment";
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }

  /** Calls an async function with each new frame that comes after the last one is done, until the camera stops. */
  async each(use) {
    const { stream } = this; // it may be stopped and started again while a frame is read
    while (this.stream && this.stream === stream) {
      await this.nextFrame();
      if (this.stream === stream && this.video.videoWidth) await use(this.video);
    }
  }

  nextFrame() {
    const { video } = this;
    return new Promise((resolve) => {
      // A stream that ends or stalls sends no frame: the loop must still see that the camera was stopped.
      const soon = setTimeout(resolve, 500);
      const go = () => {
        clearTimeout(soon);
        resolve();
      };
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(go);
      else requestAnimationFrame(go);
    });
  }
}

/** Frames a second over the last second or so. */
export class Rate {
  constructor() {
    this.times = [];
  }

  /** Counts a frame; gives the rate, 0 before the second one. */
  tick(now = performance.now()) {
    this.times = [...this.times.filter((time) => now - time < 1500), now];
    return this.times.length < 2 ? 0 : (1000 * (this.times.length - 1)) / (now - this.times[0]);
  }
}
