// Rules for a list as a whole: the fields in "Rules", and what they say to the service.
import { $, h, show } from "./dom.js";
import { translated } from "./words.js";

const SHARE = 0.2; // of the places, where candidates are explored
const number = (id) => ($(id).value === "" || !$(id).checkValidity() ? null : Number($(id).value));

/**
 * The fields, and the pinned candidates.
 *
 * @param about the model card
 * @param names from naming()
 * @param changed () => void, when a rule has changed
 */
export function ruling(about, names, changed) {
  let pins = [];
  const others = about.columns.filter((name) => name !== about.candidate_column);
  show($("at-most-column"), others.map((name) => h("option", { value: name }, name)));
  for (const id of ["at-most", "at-most-column", "boost", "boost-factor"]) $(id).disabled = others.length === 0;
  for (const id of ["diversify", "at-most", "at-most-column", "boost", "boost-factor", "rarer"]) $(id).addEventListener("input", changed);

  function drawPins() {
    show($("pins"), pins.map((item, i) => h("li", {},
      h("span", {}, `${i + 1}. ${names.title(item)}`),
      h("button", { type: "button", class: "plain", "aria-label": translated("Do not pin {title}", { title: names.title(item) }), onclick: () => { pins = pins.filter((one) => one !== item); drawPins(); changed(); } }, "✕"))));
  }

  /** What the service takes as "rerank"; null without rules. */
  function body() {
    const rules = {};
    if (number("diversify") > 0) rules.diversify = number("diversify");
    if (number("at-most") > 0) rules.at_most = [{ column: $("at-most-column").value, most: number("at-most") }];
    if ($("boost").value.trim() && number("boost-factor") !== null) rules.boost = [{ where: $("boost").value.trim(), factor: number("boost-factor") }];
    if (number("rarer") > 0) Object.assign(rules, { explore: SHARE, explore_rarer_than: number("rarer") });
    if (pins.length) rules.pin = pins.map((item, i) => ({ place: i + 1, id: item.id }));
    return Object.keys(rules).length ? rules : null;
  }

  /** Fills the fields from what body() gave before; other rules than these are passed over. */
  function restore(rules) {
    $("diversify").value = rules.diversify ?? 0;
    if (rules.at_most?.[0]) { $("at-most").value = rules.at_most[0].most; $("at-most-column").value = rules.at_most[0].column; }
    if (rules.boost?.[0]) { $("boost").value = rules.boost[0].where; $("boost-factor").value = rules.boost[0].factor; }
    if (rules.explore_rarer_than) $("rarer").value = rules.explore_rarer_than;
    pins = (rules.pin ?? []).map(({ id }) => ({ id, columns: {} }));
    $("rules").open = true;
    drawPins();
  }

  function pin(item) {
    if (!pins.some(({ id }) => id === item.id)) pins = [...pins, item];
    $("rules").open = true;
    drawPins();
    changed();
  }

  return { body, pin, restore };
}
