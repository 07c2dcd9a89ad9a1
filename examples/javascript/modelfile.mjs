// The metadata of a model file, for runtimes that do not hand them out: field 14 of ONNX's ModelProto holds
// pairs of key (1) and value (2).

export function metadata(data, wanted = "onlygood") {
  for (const pair of fields(data, 14)) {
    if (text(fields(pair, 1)) === wanted) return JSON.parse(text(fields(pair, 2)));
  }
  throw new Error(`no metadata ${wanted}: an ONNX model, but not one of onlygood's`);
}

function text(found) {
  return Buffer.concat(found.slice(-1)).toString("utf8");
}

// The contents of all fields with this number, in a protobuf message.
function fields(data, number) {
  const found = [];
  let place = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (place >= data.length || factor > 2 ** 63) throw new Error("the file is cut short, or no ONNX model");
      const byte = data[place++];
      value += (byte & 127) * factor; // exact up to 2^53, more than any length
      if (byte < 128) return value;
    }
  };
  while (place < data.length) {
    const key = varint();
    const kind = key % 8;
    if (kind === 0) varint();
    else if (kind === 1 || kind === 5) place += kind === 1 ? 8 : 4;
    else if (kind === 2) {
      const length = varint();
      if (place + length > data.length) throw new Error("the file is cut short, or no ONNX model");
      if (Math.floor(key / 8) === number) found.push(data.subarray(place, place + length));
      place += length;
    } else throw new Error("no ONNX model");
  }
  return found;
}
