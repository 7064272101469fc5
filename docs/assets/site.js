// What the theme leaves out for people who use a keyboard or a screen reader.
function completed() {
  document.querySelectorAll(".md-code__nav").forEach((nav, number) => nav.setAttribute("aria-label", `Code ${number + 1}`));
  for (const wide of document.querySelectorAll(".md-typeset__scrollwrap")) wide.tabIndex = 0;
  for (const hidden of document.querySelectorAll("[aria-hidden=true] input, input[aria-hidden=true]")) hidden.tabIndex = -1;
  for (const head of document.querySelectorAll(".md-typeset th:empty")) head.replaceWith(document.createElement("td"));
  const labels = new Map();
  for (const nav of document.querySelectorAll("nav[aria-label]")) {
    const label = nav.getAttribute("aria-label");
    const number = (labels.get(label) ?? 0) + 1;
    labels.set(label, number);
    if (number > 1) nav.setAttribute("aria-label", `${label} (${number})`);
  }
}
const seen = new MutationObserver(completed);
document.addEventListener("DOMContentLoaded", () => {
  completed();
  seen.observe(document.body, { childList: true, subtree: true });
});
