// A text field with suggestions, as the ARIA combobox pattern has it.
import { h, show, debounce } from "./dom.js";
import { translated } from "./words.js";

let serial = 0;

/**
 * @param label text above the field
 * @param placeholder an example of what to type
 * @param find (text) => Promise of [{value, label, note}]
 * @param choose (option) => void
 * @param keep leave the chosen label in the field
 */
export function combobox({ label, placeholder, find, choose, keep = false }) {
  const id = `combobox-${++serial}`;
  const list = h("ul", { role: "listbox", id: `${id}-list`, "aria-label": label, hidden: true });
  const input = h("input", {
    type: "text", id, role: "combobox", placeholder, autocomplete: "off", spellcheck: "false", autocapitalize: "off",
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id,
  });
  let options = [];
  let active = -1;
  let asked = 0;

  const close = () => {
    list.hidden = true;
    active = -1;
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
  const open = (found) => {
    options = found;
    const items = found.map((option, i) =>
      h("li", {
        role: "option", id: `${id}-${i}`, "aria-selected": "false",
        onpointerdown: (event) => event.preventDefault(), onclick: () => take(option),
      }, h("span", {}, option.label), option.note ? h("small", {}, option.note) : null));
    show(list, items.length ? items : h("li", { class: "nothing" }, translated("nothing like that")));
    list.hidden = false;
    active = -1;
    input.setAttribute("aria-expanded", "true");
  };
  const search = async () => {
    const mine = ++asked;
    const found = await find(input.value.trim()).catch(() => []);
    if (mine === asked && document.activeElement === input) open(found);
  };
  input.addEventListener("input", debounce(search, 120));
  input.addEventListener("focus", () => { input.select(); search(); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return close();
    if (event.key === "Enter") {
      event.preventDefault();
      if (options.length) take(options[Math.max(active, 0)]);
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    if (list.hidden) return search();
    if (options.length) mark((active + step + options.length) % options.length);
  });
  const element = h("div", { class: "combobox" }, h("label", { for: id }, label), input, list);
  return { element, input };
}
