// The model card: what was trained on what, and how good it is next to simple baselines.
import { h, show } from "./dom.js";
import { stringify } from "./json.js";
import { count, language, shown, translated } from "./words.js";

/** What else ranked the same choices. */
const SCORERS = { recent: translated("recent popularity"), transitions: translated("transitions"), cooccurrence: translated("item co-occurrence"), ease: "EASE", ials: "iALS" };

const percent = (value) => (value == null ? "–" : `${(100 * value).toFixed(2)}%`);

function metrics({ title, rows }) {
  if (!rows.length) return null;
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row.values)))];
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": shown(title) }, h("table", {},
    h("caption", {}, shown(title)),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, translated("ranked by")), columns.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, SCORERS[row.name] ?? shown(row.name)),
      columns.map((name) => h("td", {}, percent(row.values[name]))))))));
}

export function card(parent, facts) {
  const lines = [
    [translated("bundle"), h("code", {}, facts.bundle)],
    [translated("made"), facts.created && new Date(facts.created).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" })],
    [translated("{people}"), `${count(facts.queries)} (${facts.query_column})`],
    [translated("{items}"), `${count(facts.candidates)} (${facts.candidate_column})`],
    [translated("seen"), translated("{number} choices, left out of lists by default", { number: count(facts.seen) })],
    [translated("index"), facts.exact ? translated("{name}, exact", { name: facts.index }) : translated("{name}, approximate", { name: facts.index })],
    [translated("dimensions"), String(facts.dim)],
    [translated("version"), `shortlist ${facts.version}`],
  ].filter(([, value]) => value != null);
  show(parent,
    h("dl", { class: "facts" }, lines.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    facts.metrics.map(metrics),
    facts.metrics.length ? null : h("p", { class: "help" }, translated("The bundle holds no figures: `shortlist evaluate` measures it on test rows.")),
    facts.recipe ? h("details", {}, h("summary", {}, translated("Recipe")), h("pre", { tabindex: "0" }, stringify(facts.recipe, 2))) : null);
}
