// Elements from plain values; text is always set as text, never as markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}

export const $ = (id) => document.getElementById(id);

const FOCUSABLE = "a[href], button:not(:disabled), input:not(:disabled), select:not(:disabled), summary, [tabindex='0']";

/** Puts the children in place of what the parent has; keyboard focus within it stays on what was focused, or on what took its place. */
export function show(parent, ...children) {
  const held = parent.contains(document.activeElement) && document.activeElement !== parent ? document.activeElement : null;
  const place = held ? [...parent.querySelectorAll(FOCUSABLE)].indexOf(held) : -1;
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child != null));
  if (!held) return;
  const there = [...parent.querySelectorAll(FOCUSABLE)];
  const next = there.includes(held) ? held : there.find((one) => held.dataset.key && one.dataset.key === held.dataset.key)
    ?? there[Math.min(Math.max(place, 0), there.length - 1)];
  if (!next) parent.tabIndex = -1;
  (next ?? parent).focus({ preventScroll: true });
}

/** Says something to those who hear the page. */
export const say = (text) => { $("said").textContent = text; };

export function debounce(action, milliseconds) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...args), milliseconds);
  };
}
