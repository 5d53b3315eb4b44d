// Reads and edits a model file of bnnkit: ONNX, which is a message of Protocol Buffers.
//
// ONNX Runtime Web can neither read a file's metadata nor feed an input that has a default, as the
// four sampling inputs of a stochastic file have (docs/artifact.md, "Sampling"). So the defaults
// are taken out of the file, which makes these inputs required. No other byte changes.

// Numbers of fields in onnx.proto.
const MODEL = { graph: 7, metadata: 14 };
const GRAPH = { initializer: 5, input: 11 };
const NAME = { tensor: 8, valueInfo: 1 };
const ENTRY = { key: 1, value: 2 };
const LENGTH_DELIMITED = 2;

/** Yield the fields of a message: number, bytes with the tag, and content if it has a length. */
function* fields(message) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      value += (byte & 127) * scale; // not a shift: these numbers may exceed 32 bits
      if (byte < 128) return value;
      if (byte === undefined) throw new Error("the model file is cut off");
    }
  };
  while (at < message.length) {
    const start = at;
    const tag = varint();
    let content;
    switch (tag % 8) {
      case 0: varint(); break;
      case 1: at += 8; break;
      case LENGTH_DELIMITED: {
        const length = varint();
        content = message.subarray(at, at + length);
        at += length;
        break;
      }
      case 5: at += 4; break;
      default: throw new Error("the file is not an ONNX model");
    }
    if (at > message.length) throw new Error("the model file is cut off");
    yield { number: Math.floor(tag / 8), bytes: message.subarray(start, at), content };
  }
}

const text = (message, number) => {
  for (const field of fields(message)) {
    if (field.number === number) return new TextDecoder().decode(field.content);
  }
  return "";
};

/** Return the metadata of a model file that bnnkit wrote, without the prefix "bnnkit.". */
export function metadata(model) {
  const found = {};
  for (const { number, content } of fields(model)) {
    if (number !== MODEL.metadata) continue;
    found[text(content, ENTRY.key).replace(/^bnnkit\./, "")] = text(content, ENTRY.value);
  }
  return found;
}

/** Return the model file with its optional inputs required: without their defaults. */
export function withRequiredInputs(model) {
  return replaced(model, MODEL.graph, (graph) => {
    const inputs = new Set();
    for (const { number, content } of fields(graph)) {
      if (number === GRAPH.input) inputs.add(text(content, NAME.valueInfo));
    }
    const isDefault = ({ number, content }) =>
      number === GRAPH.initializer && inputs.has(text(content, NAME.tensor));
    return joined([...fields(graph)].filter((field) => !isDefault(field)).map(({ bytes }) => bytes));
  });
}

/** Return a message in which the content of one field is changed by a function. */
function replaced(message, number, change) {
  const parts = [];
  for (const field of fields(message)) {
    if (field.number !== number) {
      parts.push(field.bytes);
      continue;
    }
    const content = change(field.content);
    parts.push(varintBytes(number * 8 + LENGTH_DELIMITED), varintBytes(content.length), content);
  }
  return joined(parts);
}

function varintBytes(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Uint8Array.from([...bytes, value]);
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
