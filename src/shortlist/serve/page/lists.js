// Recommendation lists and histories as elements.
import { h } from "./dom.js";
import { shown, translated } from "./words.js";

const asText = (value) => (Array.isArray(value) ? value.join(", ") : String(value).replaceAll("|", ", "));

/** What a candidate is called, and what else is known of it. */
export function naming(titleColumn) {
  const title = (item) => String((titleColumn && item.columns?.[titleColumn]) ?? item.id);
  const note = (item) => Object.entries(item.columns ?? {})
    .filter(([name, value]) => name !== titleColumn && value != null && value !== "")
    .map(([, value]) => asText(value)).join(" · ");
  return { title, note };
}

const SOURCES = {
  towers: translated("similar tastes"), transitions: translated("chosen next"), cooccurrence: translated("chosen together"),
  ease: translated("chosen together (EASE)"), own: translated("chosen before"),
  popular: translated("popular"), recent: translated("popular lately"), new: translated("newly added"),
};

/** What a source of a mixture finds; the second of one kind is called "towers 2" by the service. */
export function sourceName(source) {
  const [, kind, number] = /^(.*?)( \d+)?$/.exec(source);
  return Object.hasOwn(SOURCES, kind) ? SOURCES[kind] + (number ?? "") : shown(source);
}

const percent = (share) => `${Math.round(share * 100)}%`;

/** Why an item is in a list; empty where there is nothing to say but that the model has it. */
export function because(reason, title) {
  if (!reason) return "";
  const parts = [...reason.parts].sort((one, other) => other.share - one.share).filter(({ share }) => share >= 0.005);
  const shares = reason.parts.length > 1 ? parts.map(({ source, share }) => `${sourceName(source)} ${percent(share)}`) : [];
  const choices = reason.because.length ? [translated("because of {titles}", { titles: reason.because.map(title).join(", ") })] : [];
  return [...shares, ...choices].join(", ");
}

const milliseconds = (ms) => (ms < 1 ? `${Math.round(ms * 1000)} µs` : `${ms.toFixed(1)} ms`);

/**
 * One list of candidates.
 *
 * @param list {title, took, items, empty}: took in milliseconds; empty says why there is nothing
 * @param names from naming()
 * @param open (item) => void, on a click
 * @param only ids that the list beside this one does not have
 * @param fresh ids that were not in the list before
 * @param titleOf (id) => text, of a choice that a reason names
 */
export function ranking({ title, took, items, empty }, { names, open, only = new Set(), fresh = new Set(), titleOf = String }) {
  const rows = items.map((item, i) => h("li", { class: [only.has(item.id) && "only", fresh.has(item.id) && "fresh"].filter(Boolean).join(" ") },
    h("span", { class: "rank" }, String(i + 1)),
    h("button", { type: "button", class: "title", "data-key": `open ${item.id}`, onclick: () => open(item) }, names.title(item)),
    h("span", { class: "score" }, item.source === "model" || !item.source ? item.score.toFixed(3) : h("span", { class: "tag" }, sourceName(item.source))),
    names.note(item) || only.has(item.id)
      ? h("small", {}, [names.note(item), only.has(item.id) && translated("only in this list")].filter(Boolean).join(" · ")) : null,
    because(item.reason, titleOf) ? h("span", { class: "because" }, because(item.reason, titleOf)) : null));
  return h("section", { class: "list" },
    h("header", {}, h("h3", {}, title), h("span", {}, took == null ? "" : milliseconds(took))),
    items.length ? h("ol", { class: "items" }, rows) : h("p", { class: "empty" }, empty));
}

/** What somebody chose; `remove` only where the list can be edited. */
export function past(items, { names, open, remove }) {
  return h("ul", { class: "past" }, items.map((item) => h("li", {},
    h("button", { type: "button", class: "title", onclick: () => open(item) }, names.title(item)),
    remove ? h("button", { type: "button", class: "plain", onclick: () => remove(item), "aria-label": translated("Remove {title}", { title: names.title(item) }) }, "✕") : null)));
}
