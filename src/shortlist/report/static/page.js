// Draws each chart in the colours of the page, and again when light turns to dark.
"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const palettes = {
    light: "#1a5fb4 #c64600 #2a7d4f #8a3ea8 #9a6700 #00788a #b3266b #5e5c64 #6b8e00 #a0a4aa".split(" "),
    dark: "#8ab4f8 #ff9d5c #6fcf97 #d19cf0 #f0c94d #5fd3e3 #ff8fc0 #c0bfbc #bfe35a #7c828b".split(" "),
  };
  const views = new Map();

  function config() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const text = {
      labelColor: colour("--soft"), titleColor: colour("--soft"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500,
    };
    const palette = palettes[dark.matches ? "dark" : "light"];
    return {
      background: "transparent",
      font: getComputedStyle(document.body).fontFamily,
      view: { stroke: "transparent" },
      axis: { ...text, gridColor: colour("--line"), domainColor: colour("--line"), tickColor: colour("--line") },
      legend: { ...text, orient: "top", columns: 0, symbolOpacity: 1, labelLimit: 200 },
      range: { category: palette },
      mark: { color: palette[0] },
      point: { opacity: 1 },
    };
  }


  async function draw(place) {
    const name = place.dataset.chart;
    const settings = config();
    settings.legend.columns = Math.max(1, Math.floor(place.clientWidth / (name === "map" ? 130 : 190)));
    try {
      views.get(name)?.finalize();
      const options = {
        actions: false,
        ast: true, // expressions are interpreted: the page's policy forbids eval
        config: settings,
        renderer: name === "map" ? "canvas" : "svg",
        tooltip: { theme: dark.matches ? "dark" : "light" },
      };
      const drawn = await vegaEmbed(place, specs[name], options);
      views.set(name, drawn);
      const heights = specs[name].usermeta?.heights;
      const resize = (_, picked) => drawn.view.height(heights[picked]).runAsync();
      if (heights) drawn.view.addSignalListener("segment", resize);
      place.setAttribute("role", "figure");
      place.setAttribute("aria-label", specs[name].description);
    } catch (error) {
      place.innerHTML = "";
      const said = document.createElement("p");
      said.className = "failed";
      said.textContent = document.documentElement.dataset.undrawn.replace("ERROR", error.message);
      place.append(said);
      console.error(error);
    }
  }

  const places = [...document.querySelectorAll(".chart")];
  const all = () => Promise.all(places.map(draw)).then(() => document.body.setAttribute("data-drawn", places.length));
  dark.addEventListener("change", all);
  all();
})();
