// The catalogue in two dimensions on one canvas: coloured by a column, some points lit, pan, zoom and hover.
import { h, say, show } from "./dom.js";
import { count, shown, translated } from "./words.js";

const MARGIN = 0.94;
const COLOURS = 8; // --hue-0 … --hue-7 in style.css; the last is for everything else

/** Column values as at most seven named groups and "other"; a list counts by its first value. */
function groups(values) {
  const first = values.map((value) => {
    const one = Array.isArray(value) ? value[0] : value;
    return one == null || one === "" ? translated("none given") : String(one).split("|")[0];
  });
  const sizes = new Map();
  for (const name of first) sizes.set(name, (sizes.get(name) ?? 0) + 1);
  const names = [...sizes.keys()].sort((a, b) => sizes.get(b) - sizes.get(a));
  const kept = names.length <= COLOURS ? names : names.slice(0, COLOURS - 1);
  const position = new Map(kept.map((name, i) => [name, i]));
  const of = first.map((name) => position.get(name) ?? COLOURS - 1);
  const legend = kept.map((name) => ({ name, size: sizes.get(name) }));
  const others = first.length - legend.reduce((sum, { size }) => sum + size, 0);
  if (others) legend.push({ name: translated("other"), size: others });
  return { of, legend };
}

/** Places from -1 to 1, so that the map fills its canvas. */
function spread(places) {
  const least = places.reduce((one, other) => Math.min(one, other), Infinity);
  const most = places.reduce((one, other) => Math.max(one, other), -Infinity);
  return places.map((place) => (most > least ? 2 * (place - least) / (most - least) - 1 : 0));
}

/**
 * @param parent where to draw
 * @param load (column) => Promise of {x, y, ids, labels, values, columns, note}
 * @param pick (id, label) => void, when a point is clicked, or entered by keyboard
 * @param failed (error) => void, where the map could not be loaded
 */
export function atlas(parent, { load, pick, failed }) {
  const canvas = h("canvas", { tabindex: "0", role: "img", "aria-describedby": "map-note" });
  const tip = h("p", { class: "tip", hidden: true });
  const legend = h("ul", { class: "legend" });
  const colourBy = h("select", { id: "colour", onchange: recolour });
  const colouring = h("label", { class: "field" }, translated("Colour"), colourBy);
  const note = h("p", { class: "help", id: "map-note" });
  const reset = h("button", { type: "button", onclick: whole }, translated("Whole map"));
  show(parent,
    h("div", { class: "row" }, colouring, reset),
    h("div", { class: "canvas" }, canvas, tip), legend, note);

  let points = null;
  let colour = { of: [], legend: [] };
  let lit = { history: new Set(), recommended: new Set() };
  let view = { x: 0, y: 0, scale: 1 };
  let hovered = -1;
  let drawn = ""; // the column that colours the map
  let asked = 0; // how often points were asked for: an answer that another overtook is not drawn

  /** Colour by what was picked; where that fails the choice names what is still drawn. */
  async function recolour() {
    const picked = colourBy.value;
    try {
      await refresh(picked);
    } catch (error) {
      if (colourBy.value === picked) colourBy.value = drawn;
      failed(error);
    }
  }

  function whole() {
    view = { x: 0, y: 0, scale: 1 };
    point(-1);
  }

  const place = (i) => {
    const { clientWidth: width, clientHeight: height } = canvas;
    return [
      (MARGIN * points.x[i] * view.scale + view.x + 1) * width / 2,
      (-MARGIN * points.y[i] * view.scale + view.y + 1) * height / 2,
    ];
  };

  /** A custom property as a colour that a canvas understands, for the scheme in force. */
  function colourOf(name) {
    canvas.style.color = `var(${name})`;
    return getComputedStyle(canvas).color;
  }

  function draw() {
    if (!points) return;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const value = colourOf;
    const hues = Array.from({ length: COLOURS }, (_, i) => value(`--hue-${i}`));
    const anyLit = lit.history.size + lit.recommended.size > 0;
    const radius = points.ids.length > 20000 ? 1 : points.ids.length > 4000 ? 1.6 : 2.6;
    pen.globalAlpha = anyLit ? 0.35 : 0.8;
    for (let i = 0; i < points.ids.length; i++) dot(pen, place(i), radius, hues[colour.of[i]]);
    pen.globalAlpha = 1;
    for (const i of rows(lit.history)) mark(pen, place(i), value("--history"), false);
    for (const i of rows(lit.recommended)) mark(pen, place(i), value("--recommended"), true);
    if (hovered >= 0) {
      pen.strokeStyle = value("--ink");
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(...place(hovered), 8, 0, 7);
      pen.stroke();
    }
  }

  const rows = (ids) => [...ids].map((id) => points.row.get(id)).filter((row) => row !== undefined);

  function dot(pen, [x, y], radius, fill) {
    pen.fillStyle = fill;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 7);
    pen.fill();
  }

  /** Shape as well as colour: history is a square, a recommendation a disc. */
  function mark(pen, [x, y], fill, round) {
    pen.fillStyle = fill;
    pen.strokeStyle = colourOf("--paper");
    pen.lineWidth = 1.5;
    pen.beginPath();
    if (round) pen.arc(x, y, 6, 0, 7);
    else pen.rect(x - 5, y - 5, 10, 10);
    pen.fill();
    pen.stroke();
  }

  function nearest(x, y) {
    let best = -1;
    let distance = 14 * 14;
    for (let i = 0; i < points.ids.length; i++) {
      const [px, py] = place(i);
      const d = (px - x) ** 2 + (py - y) ** 2;
      const favoured = lit.history.has(points.ids[i]) || lit.recommended.has(points.ids[i]) ? d / 4 : d;
      if (favoured < distance) [best, distance] = [i, favoured];
    }
    return best;
  }

  function hover(event) {
    if (!points) return;
    const found = nearest(event.offsetX, event.offsetY);
    if (found !== hovered || tip.hidden !== (found < 0)) point(found);
  }

  /** Marks a dot, with its title beside it; -1 for none. */
  function point(found) {
    hovered = found;
    draw();
    tip.hidden = found < 0;
    if (found < 0) return;
    const id = points.ids[found];
    const role = lit.history.has(id) ? ` · ${translated("in the history")}` : lit.recommended.has(id) ? ` · ${translated("recommended")}` : "";
    const group = points.values ? ` · ${[points.values[found]].flat().join(", ").replaceAll("|", ", ")}` : "";
    tip.textContent = points.labels[found] + group + role;
    const [x, y] = place(found);
    tip.classList.toggle("left", x > canvas.clientWidth / 2);
    tip.style.setProperty("--x", `${x}px`);
    tip.style.setProperty("--y", `${y}px`);
  }

  /** The dot that the keyboard begins with: one that is recommended or in the history, else the one in the middle. */
  function first() {
    return rows(lit.recommended)[0] ?? rows(lit.history)[0] ?? closest([canvas.clientWidth / 2, canvas.clientHeight / 2], () => 1);
  }

  /** The dot at the least distance from a place, by `cost` of where it lies from there; null leaves a dot out. */
  function closest([x, y], cost) {
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < points.ids.length; i++) {
      const [dx, dy] = [place(i)[0] - x, place(i)[1] - y];
      const factor = cost(dx, dy, i);
      if (factor !== null && (dx ** 2 + dy ** 2) * factor < least) [best, least] = [i, (dx ** 2 + dy ** 2) * factor];
    }
    return best;
  }

  /** From the marked dot to the next one in a direction; one that lies off the canvas is brought to its middle. */
  function step([right, down]) {
    const found = closest(place(hovered), (dx, dy, i) => {
      const [along, across] = [dx * right + dy * down, Math.abs(dx * down + dy * right)];
      return i !== hovered && along > 0 && across <= along ? 1 + across / along : null;
    });
    if (found < 0) return;
    const [x, y] = place(found);
    if (x < 0 || y < 0 || x > canvas.clientWidth || y > canvas.clientHeight) {
      view.x += 1 - 2 * x / canvas.clientWidth;
      view.y += 1 - 2 * y / canvas.clientHeight;
    }
    point(found);
    say(tip.textContent);
  }

  function zoom(x, y, factor) {
    const scale = Math.min(40, Math.max(1, view.scale * factor));
    const by = scale / view.scale;
    const [cx, cy] = [2 * x / canvas.clientWidth - 1, 2 * y / canvas.clientHeight - 1];
    view = { scale, x: cx - (cx - view.x) * by, y: cy - (cy - view.y) * by };
    if (scale === 1) view = { x: 0, y: 0, scale };
    draw();
  }

  const fingers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return hover(event);
    const others = [...fingers.values()].filter((finger) => finger.pointerId !== event.pointerId);
    if (others.length) {
      const apart = (a) => Math.hypot(a.offsetX - others[0].offsetX, a.offsetY - others[0].offsetY);
      zoom((event.offsetX + others[0].offsetX) / 2, (event.offsetY + others[0].offsetY) / 2, apart(event) / Math.max(apart(last), 1));
    } else if (view.scale > 1) {
      view.x += 2 * (event.offsetX - last.offsetX) / canvas.clientWidth;
      view.y += 2 * (event.offsetY - last.offsetY) / canvas.clientHeight;
      draw();
    }
    moved += Math.hypot(event.offsetX - last.offsetX, event.offsetY - last.offsetY);
    fingers.set(event.pointerId, event);
  });
  const lift = (event) => {
    const clicked = fingers.size === 1 && moved < 6 && event.type === "pointerup";
    fingers.delete(event.pointerId);
    if (!clicked || !points) return;
    hover(event);
    if (hovered >= 0) pick(points.ids[hovered], points.labels[hovered]);
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => { if (!canvas.matches(":focus-visible")) point(-1); });
  canvas.addEventListener("wheel", (event) => {
    if (view.scale === 1 && event.deltaY > 0) return; // the whole map is there: the page scrolls
    event.preventDefault();
    zoom(event.offsetX, event.offsetY, Math.exp(-event.deltaY / 400));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (!points?.ids.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const factor = { "+": 1.4, "=": 1.4, "-": 1 / 1.4 }[event.key];
    if (hovered < 0 && (direction || factor || event.key === "Enter")) {
      point(first());
      say(tip.textContent);
    } else if (direction) step(direction);
    else if (factor) {
      zoom(...place(hovered), factor);
      point(hovered);
    } else if (event.key === "Enter") pick(points.ids[hovered], points.labels[hovered]);
    else if (event.key === "Escape") whole();
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("blur", () => point(-1));
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  async function refresh(column) {
    const own = ++asked;
    const loaded = await load(column);
    if (own !== asked) return;
    points = { ...loaded, x: spread(loaded.x), y: spread(loaded.y), row: new Map(loaded.ids.map((id, i) => [id, i])) };
    colour = loaded.values ? groups(loaded.values) : { of: loaded.ids.map(() => 0), legend: [] };
    if (!colourBy.options.length) {
      show(colourBy, h("option", { value: "" }, translated("nothing")), loaded.columns.map((name) => h("option", { value: name }, name)));
    }
    drawn = loaded.column ?? "";
    colourBy.value = drawn;
    show(legend,
      h("li", {}, h("i", { class: "square history" }), translated("history")),
      h("li", {}, h("i", { class: "disc recommended" }), translated("recommended")),
      colour.legend.map(({ name, size }, i) => h("li", {}, h("i", { class: `disc hue-${i}` }), `${name} (${count(size)})`)));
    note.textContent = `${shown(loaded.note)} ${translated("By keyboard: the arrow keys go from dot to dot, Enter opens one, + and − zoom, Escape shows the whole map.")}`;
    colouring.hidden = !loaded.columns.length;
    canvas.setAttribute("aria-label", translated("Map of {number} {items}; the lists next to it have the same content", { number: count(loaded.ids.length) }));
    draw();
  }

  return {
    refresh,
    light(history, recommended) {
      lit = { history: new Set(history), recommended: new Set(recommended) };
      draw();
    },
  };
}
