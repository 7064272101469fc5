// The service's routes, as this page uses them.
import { parse, stringify } from "./json.js";
import { shown, translated } from "./words.js";

export class Problem extends Error {}

const FIELDS = [
  [/^\$\.where/, "where"], [/^\$\.k$/, "k"], [/^\$\.rerank\.boost/, "boost"], [/^\$\.rerank\.at_most/, "at-most"],
  [/^\$\.rerank\.diversify/, "diversify"], [/^\$\.rerank\.explore/, "rarer"],
];

/** The label of the field on this page that a field of the request comes from; the service's own name where it has none here. */
function fieldName(path) {
  const id = FIELDS.find(([form]) => form.test(path))?.[1];
  return id ? document.getElementById(id).labels[0].textContent.trim() : path;
}

async function answer(response) {
  const body = await response.text().then(parse).catch(() => ({}));
  if (response.ok) return body;
  const said = shown(body.detail ?? body.title ?? translated("the service answered {status}", { status: response.status }));
  const where = said + (body.field ? ` (${fieldName(body.field)})` : "");
  throw new Problem(body.hint ? translated("{said} Hint: {hint}", { said: where, hint: shown(body.hint) }) : where);
}

async function reach(path, options) {
  try {
    return await answer(await fetch(path, options));
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw new Problem(translated("The service cannot be reached. Is `shortlist serve` still running?"));
  }
}

const get = (path, query = {}) => {
  const given = Object.entries(query).filter(([, value]) => value != null && value !== "");
  return reach(given.length ? `${path}?${new URLSearchParams(given)}` : path);
};
const post = (path, body, signal) =>
  reach(path, { method: "POST", headers: { "content-type": "application/json" }, body: stringify(body), signal });

export const card = () => get("v1/card");
export const findQueries = (text) => get("v1/queries", { text, limit: 12 });
export const findCandidates = (text) => get("v1/candidates", { text, limit: 12 });
export const history = (query) => get("v1/history", { query });
export const map = (column) => get("v1/map", { column });
export const recommend = (body, signal) => post("v1/recommend", body, signal);
export const similar = (body) => post("v1/similar", body);

/** The same request as a line for a terminal. */
export function asCurl(path, body) {
  const text = stringify(body).replaceAll("'", "'\\''");
  return `curl -s ${new URL(path, location.href)} -H 'content-type: application/json' -d '${text}'`;
}
