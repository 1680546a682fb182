/** The hand model's arrays, as hiu_tf/web/hand.py writes them. */

/** {name: Float32Array, ..., theta_rows} from the content of hand.json and hand.bin. */
export function handArrays(index, buffer) {
  const arrays = { theta_rows: index.theta_rows };
  for (const [name, { shape, bytes, offset }] of Object.entries(index.arrays)) {
    const count = shape.reduce((a, b) => a * b, 1);
    arrays[name] = bytes === 4 ? new Float32Array(buffer, offset, count) : halves(new Uint16Array(buffer, offset, count));
  }
  return arrays;
}

/** Numbers of 16 bits; browsers have arrays of them only of late. */
function halves(words) {
  return Float32Array.from(words, (word) => {
    const [sign, exponent, rest] = [word & 0x8000 ? -1 : 1, (word >> 10) & 0x1f, word & 0x3ff];
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + rest / 1024) : (2 ** -14 * rest) / 1024);
  });
}
