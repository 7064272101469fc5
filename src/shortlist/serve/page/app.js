// The page's state, what it asks the service, and what it draws from the answers.
import * as api from "./api.js";
import { card } from "./card.js";
import { combobox } from "./combobox.js";
import { $, debounce, h, say, show } from "./dom.js";
import { parse, stringify } from "./json.js";
import { naming, past, ranking } from "./lists.js";
import { atlas } from "./map.js";
import { ruling } from "./rules.js";
import { count, translated } from "./words.js";

const state = { mode: "user", user: null, visitor: [], k: 10, excludeSeen: true, where: "" };
let about; // the model card
let names;
let map;
let rules;
const titles = new Map(); // of candidates that were shown, by id
let before = new Set(); // ids of the last list, to show what is new
let under; // AbortController of the request under way

const columns = () => about.columns.filter((name) => name !== about.candidate_column && !/(^|_)id$|date$/.test(name)).slice(0, 4);

function request(exact) {
  const query = state.mode === "user" ? { id: state.user } : { history: state.visitor.map((item) => item.id) };
  const body = { queries: [query], k: state.k, exclude_seen: state.excludeSeen, columns: columns(), explain: true };
  if (state.where) body.where = state.where;
  if (rules.body()) body.rerank = rules.body();
  if (exact) body.exact = true;
  return body;
}

const called = (items) => { for (const item of items) titles.set(item.id, names.title(item)); };

function problem(error) {
  if (error?.name === "AbortError") return;
  $("problem").hidden = !error;
  $("problem").textContent = error?.message ?? "";
}

const wrongNumber = ({ label, least, most }) => translated("{label}: a number from {least} to {most} is needed.", { label, least, most });

async function recommend() {
  if (rules.wrong()) return problem(new Error(wrongNumber(rules.wrong())));
  remember();
  under?.abort();
  under = new AbortController();
  const { signal } = under;
  if (state.mode === "user" && state.user === null) return show($("lists"), h("p", { class: "empty" }, translated("Pick someone to see what the model would show them.")));
  if (state.mode === "visitor" && !about.histories) {
    return show($("lists"), h("p", { class: "empty" }, translated("This model cannot read a visitor's history.")));
  }
  if (!$("lists").children.length) {
    show($("lists"), h("p", { class: "help", id: "waiting" }, translated("Waiting for the first list. A model's first answer can take some seconds.")));
  }
  try {
    const sides = about.exact ? [true] : [true, false];
    const [answers] = await Promise.all([Promise.all(sides.map((exact) => api.recommend(request(exact), signal))), loading]);
    if (signal.aborted) return;
    problem(null);
    draw(sides, answers);
  } catch (error) {
    if (error?.name !== "AbortError") $("waiting")?.remove();
    problem(error);
  }
}

function draw(sides, answers) {
  const lists = answers.map((answer) => answer.results[0]);
  called([...lists.flatMap((list) => list.items), ...currentHistory()]);
  const sets = lists.map((list) => new Set(list.items.map((item) => item.id)));
  const shown = lists.map((list, i) => ranking({
    title: sides[i] ? translated("Exact search") : about.index,
    took: answers[i].took_ms, items: list.items, empty: emptiness(),
  }, { names, open: neighbours, only: lists.length > 1 ? new Set([...sets[i]].filter((id) => !sets[1 - i].has(id))) : new Set(),
    fresh: new Set([...sets[i]].filter((id) => !before.has(id))), titleOf: (id) => titles.get(id) ?? String(id) }));
  rules.know(lists[0].items);
  const [best] = lists[0].items;
  say(best ? translated("{number} recommended, the first is {title}", { number: count(lists[0].items.length), title: names.title(best) }) : emptiness());
  before = new Set(lists.flatMap((list) => list.items.map((item) => item.id)));
  const body = request(about.exact);
  const curl = h("button", { type: "button", onclick: () => copy(curl, api.asCurl("v1/recommend", body)) }, translated("Copy as curl"));
  show($("lists"), coldness(lists[0]), h("div", { class: "side-by-side" }, shown), h("div", { class: "row" },
    h("p", { class: "note" }, lists.length > 1 ? agreement(sets) : translated("The index is exact: there is nothing to compare it with.")), curl));
  map.light(currentHistory().map((item) => item.id), before);
}

function agreement([exact, approximate]) {
  const both = [...exact].filter((id) => approximate.has(id)).length;
  return translated("The approximate list has {both} of the exact list's {all}.", { both, all: exact.size });
}

function coldness(list) {
  if (state.mode === "visitor") {
    return state.visitor.length ? null : h("p", { class: "note" }, translated("Nothing picked yet: this is what anyone new would get. Pick something and watch it change."));
  }
  return list.known ? null : h("p", { class: "note" }, translated("Training had no interaction of this one: the list is what the model gives someone new."));
}

function emptiness() {
  if (state.where) return translated("Nothing passes the condition, or all that does was chosen before.");
  if (state.excludeSeen) return translated("Nothing is left: everything was chosen before.");
  return translated("The catalogue is empty.");
}

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = translated("Copied");
    say(button.textContent);
  } catch {
    show(button.parentElement, h("pre", { tabindex: "0" }, text));
    return;
  }
  setTimeout(() => { button.textContent = label; }, 1500);
}

let history = { items: [], total: 0 };
const currentHistory = () => (state.mode === "user" ? history.items : state.visitor);

async function drawHistory() {
  const user = state.user;
  if (state.mode === "visitor") {
    show($("history"), state.visitor.length
      ? past(state.visitor, { names, open: neighbours, remove: drop })
      : h("p", { class: "empty" }, translated("Empty. Add {items} above, or from a list or the map.")));
    return;
  }
  if (user === null) return show($("history"), h("p", { class: "empty" }, translated("Nobody is picked.")));
  try {
    history = await api.history(user);
  } catch (error) {
    history = { items: [], total: 0 };
    problem(error);
  }
  if (user !== state.user || state.mode !== "user") return;
  const more = history.total - history.items.length;
  show($("history"), history.items.length
    ? [h("p", { class: "help" }, translated("{number} chosen", { number: count(history.total) })), past(history.items, { names, open: neighbours }), more > 0 ? h("p", { class: "help" }, translated("and {number} more", { number: count(more) })) : null]
    : h("p", { class: "empty" }, translated("No history is kept for this one.")));
  map.light(history.items.map((item) => item.id), before);
}

function drop(item) {
  state.visitor = state.visitor.filter(({ id }) => id !== item.id);
  refresh();
}

function add(item) {
  if (!state.visitor.some(({ id }) => id === item.id)) state.visitor = [...state.visitor, item];
  if (state.mode !== "visitor") {
    state.mode = "visitor";
    chooseMode();
  }
  refresh();
}

/** What lies next to a candidate. */
async function neighbours(item) {
  const dialog = $("neighbours");
  const close = h("button", { type: "button", "data-key": "close", onclick: () => dialog.close() }, translated("Close"));
  const pick = about.histories ? h("button", { type: "button", onclick: () => { dialog.close(); add(item); } }, translated("Add to a visitor's history")) : null;
  const pin = h("button", { type: "button", onclick: () => { dialog.close(); rules.pin(item); } }, translated("Pin to the top"));
  const head = [h("div", { class: "row" }, h("h2", { id: "neighbours-title" }, names.title(item)), close), h("p", { class: "help" }, names.note(item)), h("div", {}, pick, pin)];
  show(dialog, head, h("p", { class: "empty", role: "status" }, translated("looking …")));
  if (dialog.open) close.focus(); // one of its own items was opened
  else dialog.showModal();
  dialog.scrollTop = 0;
  try {
    const answer = await api.similar({ candidates: [item.id], k: 10, columns: columns() });
    if (dialog.firstElementChild !== head[0]) return; // another one was opened since
    show(dialog, head, ranking({ title: translated("Nearest in the model"), took: answer.took_ms, items: answer.results[0].items, empty: translated("There is nothing else.") }, { names, open: neighbours }));
  } catch (error) {
    show(dialog, head, h("p", { class: "problem", role: "alert" }, error.message));
  }
}

function chooseMode() {
  document.querySelector(`input[name=mode][value=${state.mode}]`).checked = true;
  const box = state.mode === "user"
    ? combobox({
      label: about.query_column, placeholder: translated("type or pick"), keep: true,
      find: async (text) => (await api.findQueries(text)).items.map(({ id, count: chosen }) => ({ value: id, label: String(id), note: translated("{number} chosen", { number: count(chosen) }) })),
      choose: ({ value }) => { state.user = value; refresh(); }, failed: problem,
    })
    : combobox({
      label: translated("Add {items}"), placeholder: translated("type to search"), find: async (text) =>
        (await api.findCandidates(text)).items.map((item) => ({ value: item, label: names.title(item), note: "" })),
      choose: ({ value }) => add(value), failed: problem,
    });
  if (state.mode === "user" && state.user !== null) box.input.value = String(state.user);
  const clear = h("button", { type: "button", class: "plain", onclick: () => { state.visitor = []; refresh(); } }, translated("Start again"));
  show($("who"), box.element, state.mode === "visitor" ? clear : null);
}

let loading = Promise.resolve(); // the history, whose titles reasons name

function refresh() {
  loading = drawHistory();
  recommend();
}

/** The address holds the state, so that what one sees can be sent to somebody. */
function remember() {
  const kept = { k: state.k, seen: state.excludeSeen ? "out" : "in" };
  if (state.where) kept.where = state.where;
  if (rules.body()) kept.rules = stringify(rules.body());
  if (state.mode === "visitor") kept.visitor = "1";
  else if (state.user !== null) kept.user = stringify(state.user);
  window.history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  state.k = Math.min(100, Math.max(1, parseInt(kept.get("k"), 10) || 10));
  state.excludeSeen = kept.get("seen") !== "in";
  state.where = kept.get("where") ?? "";
  state.mode = kept.has("visitor") ? "visitor" : "user";
  state.user = kept.has("user") ? idIn(kept.get("user")) : about.example_query ?? null;
  try {
    rules.restore(kept.has("rules") ? parse(kept.get("rules")) : null);
  } catch {
    rules.restore(null);
  }
}

/** The id in an address: JSON, or text that a person typed without quotes. */
function idIn(text) {
  let id;
  try {
    id = parse(text);
  } catch {
    return text;
  }
  return typeof about.example_query === "string" && typeof id !== "string" ? text : id;
}

/** The controls, as the state has them. */
function fill() {
  $("k").value = state.k;
  $("exclude-seen").checked = state.excludeSeen;
  $("where").value = state.where;
  chooseMode();
}

/** An example of a condition over the column that the map is coloured by. */
function example({ column, values }) {
  const value = [values?.find((one) => one != null && one.length !== 0)].flat()[0];
  if (typeof value !== "string" || $("where").disabled) return;
  const named = /^[\p{L}_][\p{L}\p{N}_]*$/u.test(column) ? column : `"${column.replaceAll('"', '""')}"`;
  $("where").placeholder = `${named} = '${value.split("|")[0].replaceAll("'", "''")}'`;
}

async function start() {
  try {
    about = await api.card();
  } catch (error) {
    $("bundle").textContent = translated("not connected");
    return problem(error);
  }
  names = naming(about.title_column);
  rules = ruling(about, names, debounce(() => recommend(), 300));
  recall();
  $("bundle").textContent = `${about.name} · ${count(about.candidates)} ${translated("{items}")} · ${about.index}`;
  $("where-help").textContent = about.columns.length > 1
    ? translated("A condition over {columns}, as in SQL.", { columns: about.columns.join(", ") }) : translated("The catalogue has no columns to ask about.");
  $("where").disabled = about.columns.length < 2;
  map = atlas($("map"), {
    load: async (column) => {
      const loaded = await api.map(column);
      example(loaded);
      return loaded;
    },
    pick: async (id, label) => {
      try {
        const [item] = (await api.findCandidates(id)).items.filter((found) => found.id === id);
        neighbours(item ?? { id, columns: about.title_column ? { [about.title_column]: label } : {} });
      } catch (error) {
        problem(error);
      }
    },
    failed: problem,
  });
  card($("card"), about);
  fill();
  for (const radio of document.querySelectorAll("input[name=mode]")) {
    radio.addEventListener("change", () => { state.mode = radio.value; before = new Set(); chooseMode(); refresh(); });
  }
  $("exclude-seen").addEventListener("change", (event) => { state.excludeSeen = event.target.checked; recommend(); });
  $("k").addEventListener("input", debounce((event) => {
    if (!$("k").checkValidity()) return problem(new Error(wrongNumber({ label: $("k").labels[0].textContent.trim(), least: 1, most: $("k").max })));
    if ($("k").value === "") return;
    state.k = Number($("k").value);
    recommend();
  }, 200));
  $("where").addEventListener("input", debounce(() => { state.where = $("where").value.trim(); recommend(); }, 400));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address keeps the state
    $("results").focus();
  });
  window.addEventListener("hashchange", () => {
    recall();
    fill();
    refresh();
  });
  map.refresh(about.colour_column).catch(problem);
  refresh();
}

start();
