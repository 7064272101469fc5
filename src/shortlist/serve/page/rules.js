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
      h("button", { type: "button", class: "plain", "data-key": `unpin ${i}`, "aria-label": translated("Do not pin {title}", { title: names.title(item) }), onclick: () => { pins = pins.filter((one) => one !== item); drawPins(); changed(); } }, "✕"))));
  }

  /** The label of the first number that cannot be taken, with the numbers that can; null where all can. */
  function wrong() {
    const field = ["at-most", "boost-factor", "rarer"].map($).find((one) => !one.checkValidity());
    return field ? { label: field.labels[0].textContent.trim(), least: field.min, most: field.max } : null;
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

  /** Fills the fields from what body() gave before, none for no rules; other rules than these are passed over. */
  function restore(rules) {
    $("diversify").value = rules?.diversify ?? 0;
    $("at-most").value = rules?.at_most?.[0]?.most ?? "";
    if (rules?.at_most?.[0]) $("at-most-column").value = rules.at_most[0].column;
    $("boost").value = rules?.boost?.[0]?.where ?? "";
    if (rules?.boost?.[0]) $("boost-factor").value = rules.boost[0].factor;
    $("rarer").value = rules?.explore_rarer_than ?? "";
    pins = (rules?.pin ?? []).map(({ id }) => ({ id, columns: {} }));
    if (rules) $("rules").open = true;
    drawPins();
  }

  /** Takes over what a list knows of the pinned ones: an address holds their ids alone. */
  function know(items) {
    const found = new Map(items.map((item) => [item.id, item]));
    if (!pins.some(({ id, columns }) => found.has(id) && !Object.keys(columns ?? {}).length)) return;
    pins = pins.map((one) => found.get(one.id) ?? one);
    drawPins();
  }

  function pin(item) {
    if (!pins.some(({ id }) => id === item.id)) pins = [...pins, item];
    $("rules").open = true;
    drawPins();
    changed();
  }

  return { body, know, pin, restore, wrong };
}
