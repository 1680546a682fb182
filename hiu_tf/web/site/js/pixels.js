/** Pictures {data: RGBA bytes, width, height} in other sizes, as OpenCV makes them. */

/** Rounds halves to even numbers, as Python and OpenCV do. */
export function roundEven(value) {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** A smaller picture: each pixel is the mean of the area that it covers. */
export function shrunk(picture, width, height) {
  const columns = areas(picture.width, width);
  const rows = areas(picture.height, height);
  const data = new Uint8ClampedArray(4 * width * height);
  const narrow = { number: -1, values: new Float32Array(3 * width) };
  const sum = new Float32Array(3 * width);
  for (let y = 0; y < height; y++) {
    sum.fill(0);
    for (const [row, share] of rows[y]) {
      if (row !== narrow.number) narrowRow(picture, row, columns, narrow);
      for (let k = 0; k < sum.length; k++) sum[k] += share * narrow.values[k];
    }
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) data[4 * (y * width + x) + c] = sum[3 * x + c];
      data[4 * (y * width + x) + 3] = 255;
    }
  }
  return { data, width, height };
}

/** A larger picture, bilinear; its edges go on outside. */
export function enlarged(picture, width, height) {
  const columns = neighbours(picture.width, width);
  const rows = neighbours(picture.height, height);
  const data = new Uint8ClampedArray(4 * width * height);
  const source = picture.data;
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = rows[y];
    for (let x = 0; x < width; x++) {
      const [left, right, across] = columns[x];
      const corners = [top, bottom].flatMap((row) => [left, right].map((column) => 4 * (row * picture.width + column)));
      for (let c = 0; c < 4; c++) {
        const [a, b, d, e] = corners.map((place) => source[place + c]);
        data[4 * (y * width + x) + c] = (1 - down) * (a + across * (b - a)) + down * (d + across * (e - d));
      }
    }
  }
  return { data, width, height };
}

/** For each of `to` cells the cells of `from` under it and their shares, [[index, share], ...]. */
function areas(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, cell) => {
    const [start, end] = [cell * scale, Math.min((cell + 1) * scale, from)];
    const covered = [];
    for (let index = Math.floor(start); index < end; index++) {
      const part = Math.min(index + 1, end) - Math.max(index, start);
      if (part > 1e-6) covered.push([index, part / (end - start)]);
    }
    return covered;
  });
}

/** For each of `to` cells the two cells of `from` beside its middle, and how far it is from the first to the second. */
function neighbours(from, to) {
  return Array.from({ length: to }, (_, cell) => {
    const place = Math.min(Math.max(((cell + 0.5) * from) / to - 0.5, 0), from - 1);
    const first = Math.floor(place);
    return [first, Math.min(first + 1, from - 1), place - first];
  });
}

function narrowRow(picture, row, columns, narrow) {
  narrow.number = row;
  const start = row * picture.width;
  columns.forEach((covered, x) => {
    let [red, green, blue] = [0, 0, 0];
    for (const [column, share] of covered) {
      const place = 4 * (start + column);
      red += share * picture.data[place];
      green += share * picture.data[place + 1];
      blue += share * picture.data[place + 2];
    }
    narrow.values.set([red, green, blue], 3 * x);
  });
}
