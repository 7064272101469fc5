// JSON without loss: integers that a JavaScript number cannot hold are BigInts, and are written as they were read.

// A mark that no text of a catalogue can hold, since it is drawn anew for each page.
const MARK = `int-${crypto.getRandomValues(new Uint32Array(4)).join("-")}:`;
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARKED = new RegExp(`"${MARK}(-?\\d+)"`, "g");

const isLong = (token) => /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token));

/** The value of a JSON text; integers beyond 2^53 as BigInt. SyntaxError for text that is not JSON. */
export function parse(text) {
  const marked = text.replace(TOKEN, (token) => (isLong(token) ? `"${MARK}${token}"` : token));
  if (marked.length === text.length) return JSON.parse(text);
  return JSON.parse(marked, (_, value) =>
    (typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value));
}

/** The JSON text of a value; BigInts as plain integers. */
export function stringify(value, indent) {
  return JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `${MARK}${one}` : one), indent)
    .replaceAll(MARKED, "$1");
}
