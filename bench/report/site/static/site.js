// Draws each chart when it comes near the window. Without this script the pages keep their tables and text.
"use strict";
(function () {
  var scheme = window.matchMedia("(prefers-color-scheme: dark)");
  var drawn = [], waiting = [], here = document.currentScript.src, soon = 0;

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function themed() {
    var ink = colour("--ink"), soft = colour("--soft"), line = colour("--line");
    var axis = { gridcolor: line, zerolinecolor: line, linecolor: line, tickfont: { color: soft }, title: { font: { color: soft } } };
    return { ink: ink, axis: axis };
  }

  // Breaks an axis' title into lines that its side of the chart has room for, at about 8 pixels a letter.
  function broken(text, pixels) {
    var most = Math.max(18, Math.floor(pixels / 8)), lines = [""];
    text.split(" ").forEach(function (word) {
      var last = lines[lines.length - 1];
      if (last && last.length + 1 + word.length > most) { lines.push(word); } else { lines[lines.length - 1] = last ? last + " " + word : word; }
    });
    return lines.join("<br>");
  }

  // Pixels beside the names of rows, which stand left of a chart of named rows, a line each or several.
  function besideNames(axis, pixels) {
    var names = (axis && axis.categoryarray) || [];
    var longest = Math.max.apply(null, [0].concat(names.join("<br>").split("<br>").map(function (line) { return line.length; })));
    return pixels - Math.max(56, 7 * longest) - 56;
  }

  function mixed(axis, theme, pixels) {
    var title = Object.assign({}, axis && axis.title, theme.axis.title);
    if (title.text) { title.text = broken(title.text, pixels); }
    return Object.assign({ automargin: true }, axis, theme.axis, { title: title });
  }

  function layoutOf(layout, plot) {
    var theme = themed();
    return Object.assign({}, layout, {
      height: plot.clientHeight,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: theme.ink, family: "system-ui, sans-serif", size: 13 },
      margin: { l: 56, r: 56, t: 16, b: 48 },
      legend: Object.assign({ orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, layout.legend),
      xaxis: mixed(layout.xaxis, theme, besideNames(layout.yaxis, plot.clientWidth)),
      yaxis: mixed(layout.yaxis, theme, plot.clientHeight - 120),
      hoverlabel: { font: { family: "system-ui, sans-serif" } }
    });
  }

  function draw(figure) {
    var plot = figure.querySelector(".plot");
    var spec = JSON.parse(figure.querySelector("script.figure").textContent);
    plot.textContent = "";
    spec.data.forEach(function (trace) {
      [trace.error_x, trace.error_y].forEach(function (bars) {
        if (bars) { bars.color = trace.type === "bar" || Array.isArray(trace.marker.color) ? colour("--soft") : trace.marker.color; }
      });
    });
    window.Plotly.newPlot(plot, spec.data, layoutOf(spec.layout, plot), { displayModeBar: false, responsive: true });
    figure.classList.add("drawn");
  }

  // Plotly weighs megabytes: it is fetched when the first chart comes near the window, and by no page without one.
  function withPlotly(then) {
    if (window.Plotly) { then(); return; }
    waiting.push(then);
    if (waiting.length > 1) { return; }
    var script = document.createElement("script");
    script.src = here.replace(/static\/site\.js$/, "assets/plotly.min.js");
    script.onload = function () { waiting.splice(0).forEach(function (next) { next(); }); };
    script.onerror = function () { document.documentElement.classList.remove("scripted"); };
    document.head.appendChild(script);
  }

  function show(figure) {
    if (drawn.indexOf(figure) >= 0) { return; }
    drawn.push(figure);
    withPlotly(function () { draw(figure); });
  }

  // Heights and titles are made for a width: once another one stays, they are made again.
  function refit(figure) {
    var plot = figure.querySelector(".plot"), spec = JSON.parse(figure.querySelector("script.figure").textContent);
    if (!plot.layout) { return; }
    var layout = layoutOf(spec.layout, plot);
    window.Plotly.relayout(plot, {
      height: layout.height,
      "xaxis.title.text": layout.xaxis.title.text, "yaxis.title.text": layout.yaxis.title.text
    });
  }

  function resized() {
    clearTimeout(soon);
    soon = setTimeout(function () { drawn.forEach(refit); }, 200);
  }

  function start() {
    var figures = Array.prototype.slice.call(document.querySelectorAll("figure.chart"));
    var observer = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) { return; }
        observer.unobserve(entry.target);
        show(entry.target);
      });
    }, { rootMargin: "200px" });
    figures.forEach(function (figure) { observer.observe(figure); });
    scheme.addEventListener("change", function () { drawn.forEach(draw); });
    window.addEventListener("resize", resized);
    window.addEventListener("beforeprint", function () { figures.forEach(show); });
  }

  // Says where a number comes from, once somebody points at it: what its interval covers, its kind, its runs.
  function explain(event) {
    var number = event.target.closest && event.target.closest("data");
    if (!number || number.title) { return; }
    var list = number.closest(".scroll, .finding, .evidence"), table = number.closest("table");
    var row = number.closest("tr"), own = Object.assign({}, row ? row.dataset : {}, number.dataset);
    own = Object.assign({}, own.metric && table ? table.dataset : {}, own);
    var said = [own.kind];
    while (list && !list.matches("script.sources")) { list = list.nextElementSibling; }
    var known = list ? JSON.parse(list.textContent) : [];
    if (own.how) { said.push(known[own.how]); }
    if (own.metric) { said.push(own.metric + " = " + number.value); }
    ["runs", "against"].forEach(function (side) {
      if (own[side]) { said.push((side === "runs" ? "" : "against ") + known[own[side]].join(", ")); }
    });
    number.title = said.filter(Boolean).join("\n");
  }

  document.addEventListener("mouseover", explain);
  start();
}());
