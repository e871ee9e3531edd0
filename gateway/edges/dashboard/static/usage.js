// What a script adds to the usage chart: what a bar is made of when it is pointed at, arrow keys, and zooming by dragging.
// The chart itself, its links and its table are the server's and are there without this.

(() => {
  "use strict";

  const DRAG_LEAST_PX = 8;

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // A bar's numbers stand in its row of the table: its groups', all together, and the time before where that is shown.
  class Bar {
    constructor(row, groups) {
      this.row = row;
      this.cells = [...row.querySelectorAll("td")];
      this.groups = groups;
    }

    get label() {
      return this.row.querySelector("th").textContent;
    }

    get values() {
      return this.cells.slice(0, this.groups).map((cell) => cell.textContent);
    }

    get total() {
      return this.cells[this.groups].textContent;
    }

    get before() {
      return this.cells[this.groups + 1]?.cloneNode(true).childNodes;
    }

    get first() {
      return this.row.dataset.first;
    }

    get last() {
      return this.row.dataset.last;
    }

    // Where the lines are, as shares of the height.
    heights(top) {
      return this.values.map((value) => Number(value.replaceAll(",", "")) / Number(top));
    }
  }

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.data = JSON.parse(figure.dataset.chart);
      // The table has the latest first.
      const rows = [...figure.parentElement.querySelectorAll("tbody tr")].reverse();
      this.bars = rows.map((row) => new Bar(row, this.data.groups.length));
      this.plot = figure.querySelector(".chart-plot");
      this.svg = figure.querySelector("svg");
      this.slots = [...figure.querySelectorAll(".chart-slot")];
      this.chosen = -1;
      this.dragFrom = null;
      // A browser's own tooltip would stand on top of ours.
      this.slots.forEach((slot) => slot.querySelector("title").remove());
      this.tip = element("div", "chart-tip");
      this.tip.hidden = true;
      this.spoken = element("p", "only-read");
      this.spoken.setAttribute("aria-live", "polite");
      this.zoomed = element("div", "chart-zoom");
      this.zoomed.hidden = true;
      const drawn = this.data.top ? this.data.colours : [];
      this.points = drawn.map((colour) => element("span", `chart-point chart-dot-${colour}`));
      this.points.forEach((point) => (point.hidden = true));
      this.plot.append(...this.points, this.zoomed, this.tip);
      figure.append(this.spoken);
      this.plot.tabIndex = 0;
      this.plot.setAttribute("role", "application");
      this.plot.setAttribute("aria-label", "The chart: arrow keys go from bar to bar, Enter opens the calls of one");
      this.plot.addEventListener("pointermove", (event) => this.moved(event));
      this.plot.addEventListener("pointerleave", () => this.left());
      this.plot.addEventListener("pointerdown", (event) => this.pressed(event));
      this.plot.addEventListener("click", (event) => this.clicked(event), true);
      this.plot.addEventListener("dragstart", (event) => event.preventDefault());
      this.plot.addEventListener("keydown", (event) => this.key(event));
      this.plot.addEventListener("blur", () => this.choose(-1));
      window.addEventListener("pointerup", (event) => this.released(event), { signal: gone.signal });
    }

    at(event) {
      const box = this.svg.getBoundingClientRect();
      const place = Math.floor(((event.clientX - box.left) / box.width) * this.slots.length);
      return Math.max(0, Math.min(this.slots.length - 1, place));
    }

    moved(event) {
      if (this.dragFrom !== null && Math.abs(event.clientX - this.dragFrom.x) >= DRAG_LEAST_PX) {
        this.dragged = true;
        this.plot.setPointerCapture(event.pointerId);
        this.mark(this.dragFrom.bar, this.at(event));
      }
      this.choose(this.at(event));
    }

    left() {
      if (this.dragFrom === null) this.choose(-1);
    }

    pressed(event) {
      if (event.button === 0 && event.pointerType !== "touch") {
        this.dragFrom = { x: event.clientX, bar: this.at(event) };
        this.dragged = false;
      }
    }

    released(event) {
      const from = this.dragFrom;
      this.dragFrom = null;
      this.zoomed.hidden = true;
      if (from !== null && this.dragged) this.zoom(from.bar, this.at(event));
    }

    // A drag that ends on a bar is no click on it.
    clicked(event) {
      if (this.dragged) {
        event.preventDefault();
        event.stopPropagation();
        this.dragged = false;
      }
    }

    key(event) {
      const last = this.slots.length - 1;
      const next = { ArrowRight: this.chosen + 1, ArrowLeft: this.chosen < 0 ? last : this.chosen - 1, Home: 0, End: last }[event.key];
      if (next !== undefined) {
        event.preventDefault();
        this.choose(Math.max(0, Math.min(last, next)), true);
      } else if (event.key === "Enter" && this.chosen >= 0) {
        window.location.assign(this.slots[this.chosen].getAttribute("href"));
      } else if (event.key === "Escape") {
        this.dragFrom = null;
        this.zoomed.hidden = true;
        this.choose(-1);
      }
    }

    choose(number, aloud) {
      if (number === this.chosen) return;
      this.slots[this.chosen]?.classList.remove("chart-chosen");
      this.chosen = number;
      this.tip.hidden = number < 0;
      this.points.forEach((point) => (point.hidden = number < 0));
      if (number < 0) return;
      this.slots[number].classList.add("chart-chosen");
      const bar = this.bars[number];
      this.tip.replaceChildren(...this.told(bar));
      // In shares of the chart, so that it stays in it when the window is made smaller.
      const share = `${((number + 0.5) / this.slots.length) * 100}%`;
      const room = this.plot.clientWidth;
      const width = this.tip.offsetWidth;
      const beside = room / this.slots.length / 2 + 10;
      const fits = (number + 0.5) / this.slots.length * room + beside + width <= room;
      const left = fits ? `${share} + ${beside}px` : `${share} - ${width + beside}px`;
      this.tip.style.left = `max(0px, min(${left}, 100% - ${width}px))`;
      const heights = bar.heights(this.data.top);
      this.points.forEach((point, group) => {
        point.style.left = share;
        point.style.top = `${(1 - heights[group]) * this.svg.clientHeight}px`;
      });
      if (aloud) this.spoken.textContent = `${bar.label}: ${bar.total} credits`;
    }

    told(bar) {
      const list = element("dl");
      const values = bar.values;
      this.data.groups.forEach((label, number) => {
        const row = this.line(label, values[number] || "0", `chart-dot-${this.data.colours[number]}`);
        row.classList.toggle("quiet", !values[number]);
        list.append(row);
      });
      const all = this.line("Together", bar.total);
      all.className = "chart-tip-all";
      list.append(all);
      if (bar.before) {
        const before = this.line("Before", "", "chart-dot-before");
        before.lastChild.append(...bar.before);
        list.append(before);
      }
      return [element("p", "chart-tip-title", bar.label), list];
    }

    line(label, value, dot) {
      const row = element("div");
      const name = element("dt");
      if (dot) name.append(element("span", `dot ${dot}`));
      name.append(label);
      row.append(name, element("dd", "", value));
      return row;
    }

    mark(from, to) {
      const [first, last] = [Math.min(from, to), Math.max(from, to)];
      const bar = this.svg.getBoundingClientRect().width / this.slots.length;
      this.zoomed.hidden = false;
      this.zoomed.style.left = `${first * bar}px`;
      this.zoomed.style.width = `${(last - first + 1) * bar}px`;
    }

    // To the days of these bars; to their calls where all that is shown is one day.
    zoom(from, to) {
      const [first, last] = [Math.min(from, to), Math.max(from, to)];
      const { bars } = this;
      if (bars[0].first === bars.at(-1).last) {
        const calls = new URL(this.slots[first].href.baseVal, window.location);
        const end = new URL(this.slots[last].href.baseVal, window.location);
        calls.searchParams.set("end", end.searchParams.get("end"));
        window.location.assign(calls);
        return;
      }
      const form = document.querySelector(".toolbar");
      form.elements.range.value = "custom";
      form.elements.window.value = "";
      form.elements.from.value = bars[first].first;
      form.elements.to.value = bars[last].last;
      form.dispatchEvent(new Event("change", { bubbles: true }));
    }
  }

  let gone = new AbortController();

  function begin() {
    const figure = document.querySelector("[data-chart]:not([data-begun])");
    if (figure) {
      gone.abort();
      gone = new AbortController();
      figure.dataset.begun = "";
      new Chart(figure);
    }
    document.documentElement.classList.add("scripted");
  }

  // The reader's own zone is offered, and a day of one's own means a range of one's own.
  function offerZone(select) {
    const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (own && ![...select.options].some((option) => option.value === own)) select.add(new Option(own, own), 1);
  }

  function chooseCustom(event) {
    const form = event.target.form;
    if (!form || !["from", "to"].includes(event.target.name)) return;
    form.elements.range.value = "custom";
    if (!form.elements.from.value || !form.elements.to.value) event.stopPropagation();
  }

  const zones = document.querySelector("[data-zones]");
  if (zones) offerZone(zones);
  document.addEventListener("change", chooseCustom, true);
  new MutationObserver(begin).observe(document.querySelector("main"), { childList: true, subtree: true });
  begin();
})();
