/** Pictures {data: RGBA bytes, width, height} in other sizes, as OpenCV makes them. */

/** What the shares of two pixels add up to. */
const WHOLE = 2048;

/** Rounds halves to even numbers, as Python and OpenCV do. */
export function roundEven(value) {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/**
 * A smaller picture: each pixel is the mean of the area that it covers. Of width x height pixels only those of a part
 * [left, top, right, bottom] are computed. They cover the first `covered` pixels of the picture.
 */
export function shrunk(
  picture,
  width,
  height,
  part = [0, 0, width, height],
  covered = [picture.width, picture.height],
) {
  const [left, top, right, bottom] = part;
  const columns = areas(covered[0], width, left, right);
  const rows = areas(covered[1], height, top, bottom);
  const [wide, high] = [right - left, bottom - top];
  const data = new Uint8Array(4 * wide * high);
  const narrow = { number: -1, values: new Float32Array(4 * wide) };
  const sum = new Float32Array(4 * wide);
  for (let y = 0; y < high; y++) {
    sum.fill(0.5); // halves are rounded up
    for (let k = rows.starts[y]; k < rows.starts[y + 1]; k++) {
      if (rows.cells[k] !== narrow.number) narrowRow(picture, rows.cells[k], columns, narrow);
      const share = rows.shares[k];
      for (let place = 0; place < sum.length; place++) sum[place] += share * narrow.values[place];
    }
    data.set(sum, 4 * wide * y);
  }
  return { data, width: wide, height: high };
}

/** A smaller picture, as hiu_tf/geometry/shrink.py makes it: one that shrinks eightfold or more is halved first. */
export function smaller(picture, width, height) {
  const factor = Math.min(picture.width / width, picture.height / height);
  let small = picture;
  for (let times = Math.floor(Math.log2(factor)) - 2; times > 0; times--) {
    const [wide, high] = [small.width >> 1, small.height >> 1];
    small = shrunk(small, wide, high, [0, 0, wide, high], [2 * wide, 2 * high]);
  }
  return shrunk(small, width, height);
}

/** A larger picture, bilinear; its edges go on outside. In whole numbers, as OpenCV does it. */
export function enlarged(picture, width, height) {
  const columns = neighbours(picture.width, width);
  const rows = neighbours(picture.height, height);
  const data = new Uint8ClampedArray(4 * width * height);
  const across = (row, [left, right, share], c) => {
    const at = (column) => picture.data[4 * (row * picture.width + column) + c];
    return ((WHOLE - share) * at(left) + share * at(right)) >> 4;
  };
  for (let y = 0; y < height; y++) {
    const [top, bottom, share] = rows[y];
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 4; c++) {
        const upper = ((WHOLE - share) * across(top, columns[x], c)) >> 16;
        const lower = (share * across(bottom, columns[x], c)) >> 16;
        data[4 * (y * width + x) + c] = (upper + lower + 2) >> 2;
      }
    }
  }
  return { data, width, height };
}

/**
 * The cells of `from` under those of `to` from the first to the last: of the k-th they are cells[starts[k]] to
 * cells[starts[k + 1] - 1], with their shares.
 */
function areas(from, to, first, last) {
  const scale = from / to;
  const [starts, cells, shares] = [[], [], []];
  for (let cell = first; cell < last; cell++) {
    const [start, end] = [cell * scale, Math.min((cell + 1) * scale, from)];
    starts.push(cells.length);
    for (let index = Math.floor(start); index < end; index++) {
      const covered = Math.min(index + 1, end) - Math.max(index, start);
      if (covered <= 1e-6) continue;
      cells.push(index);
      shares.push(covered / (end - start));
    }
  }
  starts.push(cells.length);
  return { starts: Int32Array.from(starts), cells: Int32Array.from(cells), shares: Float32Array.from(shares) };
}

/** For each of `to` cells the two cells of `from` beside its middle, and the second one's share of WHOLE. */
function neighbours(from, to) {
  return Array.from({ length: to }, (_, cell) => {
    const place = Math.min(Math.max(((cell + 0.5) * from) / to - 0.5, 0), from - 1);
    const first = Math.floor(place);
    return [first, Math.min(first + 1, from - 1), roundEven(WHOLE * (place - first))];
  });
}

function narrowRow({ data, width }, row, { starts, cells, shares }, narrow) {
  narrow.number = row;
  const { values } = narrow;
  for (let x = 0; x < starts.length - 1; x++) {
    let [red, green, blue] = [0, 0, 0];
    for (let k = starts[x]; k < starts[x + 1]; k++) {
      const place = 4 * (row * width + cells[k]);
      const share = shares[k];
      red += share * data[place];
      green += share * data[place + 1];
      blue += share * data[place + 2];
    }
    values[4 * x] = red;
    values[4 * x + 1] = green;
    values[4 * x + 2] = blue;
    values[4 * x + 3] = 255;
  }
}
