// Filters, sorts and hands out the table of all cases. The address holds the view: ?method=LoRA&sort=-evaluate.accuracy.
"use strict";
(function () {
  var PAGE = 100;
  var data = window.ftbenchCases, form = document.getElementById("filters");
  if (!data || !form) { return; }
  var keys = data.columns.map(function (column) { return column.key; });
  var numeric = data.columns.map(function (_, place) { return data.rows.some(function (row) { return Array.isArray(row[place]); }); });
  var texts = data.rows.map(function (row) { return row.map(text).join(" ").toLowerCase(); });
  var state = { q: "", sort: "", shown: PAGE }, view = [];

  function text(cell) { return Array.isArray(cell) ? cell[1] : cell; }
  function value(cell) { return Array.isArray(cell) ? cell[0] : cell; }

  function read() {
    var asked = new URLSearchParams(location.search);
    state.sort = asked.get("sort") || "";
    Array.prototype.forEach.call(form.elements, function (field) {
      if (!field.name) { return; }
      var wanted = asked.get(field.name) || "";
      field.value = wanted;
      if (field.value !== wanted) { field.value = ""; }
    });
  }

  function write() {
    var asked = new URLSearchParams();
    Array.prototype.forEach.call(form.elements, function (field) { if (field.name && field.value) { asked.set(field.name, field.value); } });
    if (state.sort) { asked.set("sort", state.sort); }
    var query = asked.toString();
    history.replaceState(null, "", query ? "?" + query : location.pathname.split("/").pop());
  }

  function compare(place, sign) {
    return function (a, b) {
      var x = value(data.rows[a][place]), y = value(data.rows[b][place]);
      var none = [x, y].map(function (one) { return one === null || one === ""; });
      if (none[0] || none[1]) { return none[0] - none[1] || a - b; }
      return (x < y ? -1 : x > y ? 1 : 0) * sign || a - b;
    };
  }

  function choose() {
    var words = form.elements.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    var wanted = data.facets.filter(function (key) { return form.elements[key] && form.elements[key].value; });
    view = data.rows.map(function (_, place) { return place; }).filter(function (place) {
      return words.every(function (word) { return texts[place].indexOf(word) >= 0; }) &&
        wanted.every(function (key) { return text(data.rows[place][keys.indexOf(key)]) === form.elements[key].value; });
    });
    var sorted = keys.indexOf(state.sort.replace(/^-/, ""));
    if (sorted >= 0) { view.sort(compare(sorted, state.sort[0] === "-" ? -1 : 1)); }
  }

  function element(name, content, attributes) {
    var made = document.createElement(name);
    if (content !== undefined) { made.textContent = content; }
    Object.keys(attributes || {}).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    return made;
  }

  function columns() {
    return keys.map(function (_, place) { return place; }).filter(function (place) {
      return place === 0 || view.some(function (row) { return text(data.rows[row][place]) !== ""; });
    });
  }

  function head(shown) {
    var row = element("tr");
    shown.forEach(function (place) {
      var key = keys[place], on = state.sort.replace(/^-/, "") === key, down = state.sort[0] === "-";
      var cell = element("th", undefined, { scope: "col", "aria-sort": on ? (down ? "descending" : "ascending") : "none" });
      var button = element("button", data.columns[place].label + (on ? (down ? " ↓" : " ↑") : ""), { type: "button", "data-sort": key });
      if (data.columns[place].about) { button.title = data.columns[place].about; }
      cell.appendChild(button);
      row.appendChild(cell);
    });
    return row;
  }

  function line(number, shown) {
    var row = element("tr");
    shown.forEach(function (place, first) {
      var cell = data.rows[number][place], made;
      if (first === 0) {
        made = element("th", undefined, { scope: "row" });
        made.appendChild(element("a", cell, { href: data.links[number] }));
      } else {
        made = element("td", text(cell), { "class": Array.isArray(cell) ? "f" : "w" });
        if (Array.isArray(cell) && cell[0] !== null) { made.setAttribute("data-value", cell[0]); }
      }
      row.appendChild(made);
    });
    return row;
  }

  function draw() {
    var shown = columns(), table = element("table", undefined, { "class": "dense" });
    table.appendChild(element("caption", "Every case", { "class": "unseen" }));
    table.appendChild(element("thead")).appendChild(head(shown));
    var body = table.appendChild(element("tbody"));
    view.slice(0, state.shown).forEach(function (number) { body.appendChild(line(number, shown)); });
    var scroll = document.querySelector("#cases .scroll"), left = scroll.scrollLeft;
    scroll.textContent = "";
    scroll.appendChild(table);
    scroll.scrollLeft = left;
    document.getElementById("count").textContent = view.length + " of " + data.rows.length + " cases" +
      (view.length > state.shown ? ", the first " + state.shown + " shown" : "");
    document.getElementById("more").hidden = view.length <= state.shown;
  }

  function update() { choose(); write(); draw(); }

  function csvCell(content) {
    var said = content === null ? "" : String(content);
    if (typeof content === "string" && /^[=+\-@\t\r]/.test(said)) { said = "'" + said; }
    return /[",\n\r]/.test(said) ? '"' + said.replace(/"/g, '""') + '"' : said;
  }

  function csv() {
    var titles = [], lines = view.map(function (number) {
      var fields = [];
      keys.forEach(function (_, place) {
        var cell = data.rows[number][place];
        fields.push(value(cell));
        if (numeric[place]) { fields.push(Array.isArray(cell) ? cell[2] : ""); }
      });
      return fields.map(csvCell).join(",");
    });
    keys.forEach(function (key, place) { titles.push(key); if (numeric[place]) { titles.push(key + ".unit"); } });
    return [titles.map(csvCell).join(",")].concat(lines).join("\n") + "\n";
  }

  function json() {
    return JSON.stringify(view.map(function (number) {
      var row = {};
      keys.forEach(function (key, place) {
        var cell = data.rows[number][place];
        if (value(cell) !== null && value(cell) !== "") { row[key] = Array.isArray(cell) ? { value: cell[0], unit: cell[2] } : cell; }
      });
      return row;
    }), null, 1) + "\n";
  }

  function take(as) {
    var blob = new Blob([as === "csv" ? csv() : json()], { type: as === "csv" ? "text/csv" : "application/json" });
    var link = element("a", undefined, { href: URL.createObjectURL(blob), download: "ftbench-cases." + as });
    document.body.appendChild(link);
    link.click();
    link.remove();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
  }

  form.addEventListener("input", function () { state.shown = PAGE; update(); });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.addEventListener("reset", function () { setTimeout(function () { state.sort = ""; state.shown = PAGE; update(); }); });
  document.getElementById("more").addEventListener("click", function () { state.shown += PAGE; draw(); });
  document.getElementById("take").addEventListener("click", function (event) {
    var as = event.target.getAttribute("data-as");
    if (as) { take(as); }
  });
  document.getElementById("cases").addEventListener("click", function (event) {
    var key = event.target.getAttribute("data-sort");
    if (!key) { return; }
    state.sort = state.sort === key ? "-" + key : state.sort === "-" + key ? "" : key;
    update();
    document.querySelector('[data-sort="' + key + '"]').focus();
  });
  window.addEventListener("popstate", function () { read(); choose(); draw(); });
  read();
  choose();
  draw();
}());
