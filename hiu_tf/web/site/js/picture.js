/** Pictures from files and video frames as pixels, and a canvas that holds them. */

/** Larger pictures are made smaller: phones give a canvas no more pixels than this. */
const MOST_PIXELS = 16e6;

/** A file or answer as {canvas, pixels, shrunkFrom}: upright, in its own size, or the size that was too large. */
export async function readPicture(blob) {
  const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" }).catch(() => {
    throw new Error("This file cannot be read as a picture. JPEG, PNG and WebP work.");
  });
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const size = [bitmap.width, bitmap.height].map((length) => Math.max(1, Math.floor(length * scale)));
  const picture = drawn(bitmap, ...size);
  bitmap.close();
  return { ...picture, shrunkFrom: scale < 1 ? [bitmap.width, bitmap.height] : null };
}

/** Reads frames of a video onto one canvas. */
export class FrameReader {
  constructor() {
    this.canvas = document.createElement("canvas");
  }

  /** The frame that the video shows, as {canvas, pixels}. */
  read(video) {
    return drawn(video, video.videoWidth, video.videoHeight, this.canvas);
  }
}

function drawn(source, width, height, canvas = document.createElement("canvas")) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height); // where a picture is transparent it is black, as in Python
  context.drawImage(source, 0, 0, width, height);
  return { canvas, pixels: context.getImageData(0, 0, width, height) };
}
