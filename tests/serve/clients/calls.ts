// Calls every route with the types that openapi-typescript made; prints, by route, its status and its reply.

import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { argv: string[] };

const [url, key] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { authorization: `Bearer ${key}` } });
const found: Record<string, [number, unknown]> = {};

function note<T>(name: string, said: { data?: T; response: Response }): T {
  found[name] = [said.response.status, said.data];
  if (said.data === undefined) throw new Error(`${name}: ${said.response.status}`);
  return said.data;
}

const queries = [{ id: "ann" }];
const model = { params: { path: { model: "one" } } };
note("alive", await client.GET("/healthz"));
note("ready", await client.GET("/readyz"));
note("card", await client.GET("/v1/card"));
const lists = note("recommend", await client.POST("/v1/recommend", {
  body: { queries, k: 2, exclude_seen: false, columns: ["kind", "stock"], where: "stock > 0" },
}));
const first = lists.results[0]!.items[0]!;
const score: number = first.score; // each is typed as what it is
const id: string | number = first.id;
if (id !== "a" || score !== 4) throw new Error(`${id} ${score}`);
note("similar", await client.POST("/v1/similar", { body: { candidates: ["a"], k: 1 } }));
note("score", await client.POST("/v1/score", { body: { queries, candidates: ["a", "nobody"] } }));
note("embed", await client.POST("/v1/embed", { body: { queries } }));
note("predict", await client.POST("/v1/models/{model}:predict", {
  ...model, body: { instances: [{ input_1: "ann" }] },
}));
note("model_status", await client.GET("/v1/models/{model}", model));
note("model_metadata", await client.GET("/v1/models/{model}/metadata", model));
note("find_queries", await client.GET("/v1/queries", { params: { query: { text: "a" } } }));
note("find_candidates", await client.GET("/v1/candidates", { params: { query: { text: "alp", limit: 5 } } }));
note("history", await client.GET("/v1/history", { params: { query: { query: "ann" } } }));
note("map", await client.GET("/v1/map"));
note("change_candidates", await client.POST("/v1/candidates", {
  body: { upsert: [{ what: "e", stock: 1 }], delete: ["d"] },
}));
note("record_events", await client.POST("/v1/events", { body: { events: [{ query: "ann", candidate: "c" }] } }));
note("record_impressions", await client.POST("/v1/impressions", {
  body: { impressions: [{ query: "ann", items: [{ candidate: "a" }] }] },
}));

// What the server would refuse, the compiler does.
export const wrong = () => [
  // @ts-expect-error: k is a number
  client.POST("/v1/recommend", { body: { queries, k: "two" } }),
  // @ts-expect-error: candidates are missing
  client.POST("/v1/score", { body: { queries } }),
];

console.log(JSON.stringify(found));
