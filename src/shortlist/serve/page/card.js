// The model card: what was trained on what, and how good it is next to simple baselines.
import { h, show, count } from "./dom.js";
import { stringify } from "./json.js";

const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(2)}%`);

function metrics({ title, rows }) {
  if (!rows.length) return null;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row.values)))];
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, h("table", {},
    h("caption", {}, title),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "ranked by"), columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.name),
      columns.map((name) => h("td", {}, percent(row.values[name]))))))));
}

export function card(parent, facts) {
  const lines = [
    ["bundle", h("code", {}, facts.bundle)],
    ["made", facts.created && new Date(facts.created).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })],
    ["queries", `${count(facts.queries)} (${facts.query_column})`],
    ["candidates", `${count(facts.candidates)} (${facts.candidate_column})`],
    ["seen", `${count(facts.seen)} interactions left out by default`],
    ["index", facts.index + (facts.exact ? ", exact" : ", approximate")],
    ["dimensions", String(facts.dim)],
    ["version", `shortlist ${facts.version}`],
  ].filter(([, value]) => value != null);
  show(parent,
    h("dl", { class: "facts" }, lines.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    facts.metrics.map(metrics),
    facts.metrics.length ? null : h("p", { class: "help" }, "The bundle holds no figures: `shortlist evaluate` measures it on test rows."),
    facts.recipe ? h("details", {}, h("summary", {}, "Recipe"), h("pre", { tabindex: "0" }, stringify(facts.recipe, 2))) : null);
}
