// A text field with suggestions, as the ARIA combobox pattern has it.
import { h, say, show } from "./dom.js";
import { count, translated } from "./words.js";

const WAIT = 120; // milliseconds without a key before the service is asked
let serial = 0;

/**
 * @param label text above the field
 * @param placeholder an example of what to type
 * @param find (text) => Promise of [{value, label, note}]
 * @param choose (option) => void
 * @param failed (error) => void, where nothing could be looked for
 * @param keep leave the chosen label in the field
 */
export function combobox({ label, placeholder, find, choose, failed, keep = false }) {
  const id = `combobox-${++serial}`;
  // tabindex: Chromium's Tab key would else stop at a list that scrolls, and be lost where it closes
  const list = h("ul", { role: "listbox", id: `${id}-list`, "aria-label": label, tabindex: "-1", hidden: true });
  const input = h("input", {
    type: "text", id, role: "combobox", placeholder, autocomplete: "off", spellcheck: "false", autocapitalize: "off",
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id,
  });
  let options = [];
  let active = -1;
  let asked = 0;
  let shownFor = null; // the text whose options are shown
  let typed = false; // something that is not looked for yet
  let timer;

  const close = () => {
    clearTimeout(timer);
    typed = false;
    asked += 1; // an answer under way is not waited for
    list.hidden = true;
    active = -1;
    shownFor = null;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (position) => {
    active = position;
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === active)));
    if (active < 0) return;
    input.setAttribute("aria-activedescendant", list.children[active].id);
    list.children[active].scrollIntoView({ block: "nearest" });
  };
  const take = (option) => {
    input.value = keep ? option.label : "";
    close();
    choose(option);
  };
  const open = (found, text) => {
    options = found;
    const items = found.map((option, i) =>
      h("li", {
        role: "option", id: `${id}-${i}`, "aria-selected": "false",
        onpointerdown: (event) => event.preventDefault(), onclick: () => take(option),
      }, h("span", {}, option.label), option.note ? h("small", {}, option.note) : null));
    const nothing = translated("nothing like that");
    show(list, items.length ? items : h("li", { class: "nothing", role: "option", "aria-disabled": "true" }, nothing));
    say(items.length ? translated("{number} found: the arrow keys go through them, Enter takes one", { number: count(items.length) }) : nothing);
    list.hidden = false;
    active = -1;
    typed = false;
    shownFor = text;
    input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-expanded", "true");
  };
  /** Shows the options of what is typed; false where that was overtaken or failed. */
  const search = async () => {
    clearTimeout(timer);
    const mine = ++asked;
    const text = input.value.trim();
    let found;
    try {
      found = await find(text);
    } catch (error) {
      if (mine === asked) {
        close();
        failed(error);
      }
      return false;
    }
    if (mine !== asked || document.activeElement !== input) return false;
    open(found, text);
    return true;
  };
  /** The marked option, or the one that is typed in full, or the first; of what is typed now, not of a moment ago. */
  const enter = async () => {
    if (list.hidden && !typed) return void search();
    if (input.value.trim() !== shownFor && !(await search())) return;
    const best = options[active] ?? options.find((option) => option.label === shownFor) ?? options[0];
    if (best) take(best);
  };
  input.addEventListener("input", () => { typed = true; clearTimeout(timer); timer = setTimeout(search, WAIT); });
  input.addEventListener("focus", () => { input.select(); search(); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return close();
    if (event.key === "Enter") {
      event.preventDefault();
      if (!event.isComposing) enter(); // else it ends a syllable
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.isComposing) return;
    event.preventDefault();
    if (list.hidden) return void search();
    if (options.length) mark(active < 0 && step < 0 ? options.length - 1 : (active + step + options.length) % options.length);
  });
  const element = h("div", { class: "combobox" }, h("label", { for: id }, label), input, list);
  return { element, input };
}
