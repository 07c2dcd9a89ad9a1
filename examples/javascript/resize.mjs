// The resize of docs/model-file.md: bilinear with the triangle widened when shrinking, across and then down, with
// weights in steps of 2^-22 and rounded to 8 bits after each. An image is { width, height, channels, pixels }, rows from the top.

const ONE = 2 ** 22;

export function prepare(image, { width, height, channels, resize: shape }) {
  const colored = toChannels(image, channels);
  const across = width / image.width;
  const down = height / image.height;
  if (shape === "stretch") return resize(colored, width, height);
  if (shape === "crop") {
    const cover = Math.max(across, down);
    const left = Math.max(0, (image.width - width / cover) / 2);
    const upper = Math.max(0, (image.height - height / cover) / 2);
    return resize(colored, width, height, [left, image.width - left], [upper, image.height - upper]);
  }
  const fit = Math.min(across, down);
  const inner = [image.width, image.height].map((side) => Math.max(1, roundHalfToEven(side * fit)));
  return pad(resize(colored, ...inner), width, height);
}

function toChannels({ pixels, channels, ...size }, wanted) {
  const count = size.width * size.height;
  const out = new Uint8Array(count * wanted);
  for (let i = 0; i < count; i++) {
    const from = i * channels; // an alpha that follows is dropped
    const color = channels < 3 ? [pixels[from], pixels[from], pixels[from]] : pixels.subarray(from, from + 3);
    if (wanted === 3) out.set(color, i * 3);
    // ITU-R 601, in steps of 2^-16
    else out[i] = channels < 3 ? color[0] : (color[0] * 19595 + color[1] * 38470 + color[2] * 7471 + 32768) >> 16;
  }
  return { ...size, channels: wanted, pixels: out };
}

function resize(image, width, height, across = [0, image.width], down = [0, image.height]) {
  const { channels } = image;
  const wide = new Uint8Array(width * image.height * channels);
  weigh(image.width, width, across).forEach(({ first, weights }, x) => {
    for (let y = 0; y < image.height; y++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        weights.forEach((weight, i) => {
          sum += weight * image.pixels[(y * image.width + first + i) * channels + c];
        });
        wide[(y * width + x) * channels + c] = Math.min(255, Math.floor(sum / ONE + 0.5));
      }
    }
  });
  const pixels = new Uint8Array(width * height * channels);
  const row = width * channels;
  weigh(image.height, height, down).forEach(({ first, weights }, y) => {
    for (let x = 0; x < row; x++) {
      let sum = 0;
      weights.forEach((weight, i) => {
        sum += weight * wide[(first + i) * row + x];
      });
      pixels[y * row + x] = Math.min(255, Math.floor(sum / ONE + 0.5));
    }
  });
  return { width, height, channels, pixels };
}

// For each of `size` new pixels: the first old one that counts, and how much it and those after it do.
function weigh(old, size, span) {
  const [low, high] = span.map(Math.fround); // where `crop` cuts through a pixel, in single precision
  const scale = Math.fround(high - low) / size;
  const reach = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const center = low + (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - reach + 0.5));
    const last = Math.min(old, Math.floor(center + reach + 0.5));
    const weights = [];
    for (let x = first; x < last; x++) weights.push(Math.max(0, 1 - Math.abs((x - center + 0.5) / reach)));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => Math.floor((weight / total) * ONE + 0.5)) };
  });
}

// In the middle of a canvas of the border's median color.
function pad(image, width, height) {
  const { channels, pixels } = image;
  const at = (x, y, c) => pixels[(y * image.width + x) * channels + c];
  const out = new Uint8Array(width * height * channels);
  for (let c = 0; c < channels; c++) {
    const border = [];
    for (let x = 0; x < image.width; x++) border.push(at(x, 0, c), at(x, image.height - 1, c));
    for (let y = 0; y < image.height; y++) border.push(at(0, y, c), at(image.width - 1, y, c));
    border.sort((a, b) => a - b);
    const half = border.length / 2; // an even number: each side counts twice
    const median = Math.floor((border[half - 1] + border[half]) / 2);
    for (let i = c; i < out.length; i += channels) out[i] = median;
  }
  const left = Math.floor((width - image.width) / 2);
  const upper = Math.floor((height - image.height) / 2);
  for (let y = 0; y < image.height; y++) {
    const row = pixels.subarray(y * image.width * channels, (y + 1) * image.width * channels);
    out.set(row, ((upper + y) * width + left) * channels);
  }
  return { width, height, channels, pixels: out };
}

function roundHalfToEven(value) {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}
