
// Draws the page's figures as SVG: lines over a linear, logarithmic or named axis, with a legend
// that hides lines and a readout under the pointer. Colours are the style sheet's business.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const figures = JSON.parse(document.getElementById("chart-data").textContent);

  function add(parent, name, attributes, text) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  function html(parent, name, className, text) {
    const element = document.createElement(name);
    element.className = className;
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }

  const digits = (value) => Math.abs(value) >= 1000 || Number.isInteger(value)
    ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));

  // -- axes: a value to pixels, and the values that have a tick ------------------------------------

  function steps(low, high, most) {
    const rough = (high - low) / Math.max(1, most);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999);
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-6; at += 1) {
      found.push(Number((at * step).toPrecision(12)));
    }
    return found;
  }

  function axis(layout, values, from, to, room) {
    if (layout.type === "category") {
      const names = [...new Set(values)];
      const place = (value) => from + (to - from) * (names.indexOf(value) + 0.5) / names.length;
      return { place, ticks: names.map((name) => [name, name]) };
    }
    const numbers = values.filter((value) => value !== null);
    const isLog = layout.type === "log";
    let [low, high] = layout.range || [Math.min(...numbers), Math.max(...numbers)];
    if (layout.rangemode === "tozero") [low, high] = [Math.min(0, low), Math.max(0, high)];
    if (low === high) [low, high] = isLog ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
    if (isLog && !layout.tickvals) {
      low = 10 ** Math.floor(Math.log10(low) + 1e-9);
      high = 10 ** Math.ceil(Math.log10(high) - 1e-9);
    }
    const scale = isLog ? Math.log10 : (value) => value;
    const place = (value) => from + (to - from) * (scale(value) - scale(low)) / (scale(high) - scale(low));
    let ticks;
    if (layout.tickvals) ticks = layout.tickvals.map((value, at) => [value, layout.ticktext[at]]);
    else if (isLog) {
      ticks = [];
      for (let power = Math.log10(low); power <= Math.log10(high) + 1e-9; power += 1) {
        const value = Number((10 ** power).toPrecision(3));
        ticks.push([value, value.toLocaleString("en", { maximumFractionDigits: 6 })]);
      }
    } else {
      if (!layout.range) high += (high - low) * 0.04;
      ticks = steps(low, high, room).map((value) => [value, value.toLocaleString("en")]);
    }
    return { place, ticks: ticks.filter(([value]) => value >= low && value <= high) };
  }

  // -- labels of events -----------------------------------------------------------------------------

  const LETTER = 6.2;

  // The run's own faults first; one that there is no room for is counted by the label in its way.
  function eventLabels(events, x, right) {
    const found = [];
    for (const [value, text] of [...events].sort((one, other) => other[2] - one[2] || one[0] - other[0])) {
      const room = LETTER * (text.length + 4);
      const start = Math.min(x(value), right - room);
      const inTheWay = found.find((label) => start < label.end && label.start < start + room);
      if (inTheWay) inTheWay.texts.push(text);
      else found.push({ start, end: start + room, texts: [text] });
    }
    return found;
  }

  // -- one chart -----------------------------------------------------------------------------------

  function path(trace, x, y) {
    let found = "";
    let isDrawing = false;
    let [beforeX, beforeY] = [0, 0];
    trace.x.forEach((value, at) => {
      if (trace.y[at] === null) { isDrawing = false; return; }
      const [px, py] = [x(value).toFixed(1), y(trace.y[at]).toFixed(1)];
      if (!isDrawing) found += `M${px},${py}`;
      else if (trace.line.shape === "hv") found += `L${px},${beforeY}L${px},${py}`;
      else if (trace.line.shape === "vh") found += `L${beforeX},${py}L${px},${py}`;
      else found += `L${px},${py}`;
      [isDrawing, beforeX, beforeY] = [true, px, py];
    });
    return found;
  }

  // Points without a neighbour, which a line does not show.
  function alone(trace) {
    const isThere = (at) => trace.y[at] !== null && trace.y[at] !== undefined;
    return [...trace.x.keys()].filter((at) => isThere(at) && !isThere(at - 1) && !isThere(at + 1));
  }

  const DASHES = { solid: "", dash: "7 4", dot: "2 3" };

  function draw(holder, figure, hidden) {
    const { data, layout } = figure;
    const width = holder.clientWidth;
    const height = layout.height;
    const shown = data.filter((trace) => !hidden.has(trace.name));
    const events = layout.events || [];
    // Their labels have a line of their own: on the lines of the chart they would hide these.
    const box = { left: 76, right: width - 14, top: events.length ? 38 : 24, bottom: height - 46 };
    const canvas = holder.querySelector("svg");
    canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    canvas.replaceChildren();
    const all = (key) => data.flatMap((trace) => trace[key]);
    const spread = data.flatMap((trace) => trace.error_y ? trace.y.flatMap((value, at) => value === null
      ? [] : [value - trace.error_y.arrayminus[at], value + trace.error_y.array[at]]) : []);
    const horizontal = axis(layout.xaxis, all("x"), box.left, box.right, (box.right - box.left) / 80);
    const vertical = axis(layout.yaxis, [...all("y"), ...spread], box.bottom, box.top, 6);
    const [x, y] = [horizontal.place, vertical.place];
    const atX = (where, value) => where === "paper" ? box.left + value * (box.right - box.left) : x(value);
    const atY = (where, value) => {
      if (where === "paper") return box.bottom - value * (box.bottom - box.top);
      return Math.min(box.bottom, Math.max(box.top, y(value)));
    };

    for (const shape of layout.shapes || []) {
      const [x0, x1] = [atX(shape.xref, shape.x0), atX(shape.xref, shape.x1)];
      const [y0, y1] = [atY(shape.yref, shape.y0), atY(shape.yref, shape.y1)];
      if (shape.type === "line") {
        add(canvas, "line", { x1: x0, x2: x1, y1: y0, y2: y1, class: `mark ${shape.name}` });
      } else {
        add(canvas, "rect", { x: x0, width: Math.max(0, x1 - x0), y: Math.min(y0, y1),
          height: Math.abs(y1 - y0), class: `area ${shape.name}` });
      }
    }
    let free = -Infinity;
    for (const [value, label] of horizontal.ticks) {
      const at = x(value);
      add(canvas, "line", { x1: at, x2: at, y1: box.top, y2: box.bottom, class: "grid" });
      const half = 3.6 * String(label).length;
      if (at - half < free) continue;
      add(canvas, "text", { x: at, y: box.bottom + 16, "text-anchor": "middle" }, label);
      free = at + half + 6;
    }
    for (const [value, label] of vertical.ticks) {
      const at = y(value);
      add(canvas, "line", { x1: box.left, x2: box.right, y1: at, y2: at, class: "grid" });
      add(canvas, "text", { x: box.left - 6, y: at + 4, "text-anchor": "end" }, label);
    }
    add(canvas, "text", { x: (box.left + box.right) / 2, y: height - 8, "text-anchor": "middle",
      class: "title" }, layout.xaxis.title.text);
    add(canvas, "text", { transform: `translate(14 ${(box.top + box.bottom) / 2}) rotate(-90)`,
      "text-anchor": "middle", class: "title" }, layout.yaxis.title.text);

    let before = null;
    for (const trace of shown) {
      if (trace.fill) {
        const back = { x: [...trace.x].reverse(), y: [...trace.y].reverse(), line: { shape: "vh" } };
        const there = path(before, x, y);
        add(canvas, "path", { d: `${there}${path(back, x, y).replace("M", "L")}Z`,
          class: "band", style: `--of: ${trace.line.color}` });
      } else if (trace.mode.includes("lines") && trace.line.width) {
        add(canvas, "path", { d: path(trace, x, y), class: "line",
          style: `--of: ${trace.line.color}`, "stroke-width": trace.line.width,
          "stroke-dasharray": DASHES[trace.line.dash || "solid"] });
        if (!trace.mode.includes("markers")) {
          for (const at of alone(trace)) {
            add(canvas, "circle", { cx: x(trace.x[at]), cy: y(trace.y[at]), r: 3, class: "dot",
              style: `--of: ${trace.line.color}` });
          }
        }
      }
      before = trace;
      if (!trace.mode.includes("markers")) continue;
      trace.x.forEach((value, at) => {
        if (trace.y[at] === null) return;
        const style = `--of: ${trace.line.color}`;
        const [px, py] = [x(value), y(trace.y[at])];
        if (trace.error_y) {
          add(canvas, "line", { x1: px, x2: px, y1: y(trace.y[at] + trace.error_y.array[at]),
            y2: y(trace.y[at] - trace.error_y.arrayminus[at]), class: "line", style });
        }
        if (trace.marker.symbol[at] === "circle") {
          add(canvas, "circle", { cx: px, cy: py, r: 3.5, class: "dot", style });
        } else {
          add(canvas, "path", { d: `M${px},${py - 5}l5,9h-10z`, class: "dot open", style });
        }
      });
    }
    for (const note of layout.annotations || []) {
      const anchor = { left: "start", right: "end" }[note.xanchor] || "middle";
      const at = atX(note.xref, note.x);
      const py = note.yref === "paper" ? box.bottom - note.y * (box.bottom - box.top) : y(note.y);
      if (py < 0 || py > box.bottom) continue;
      const above = note.yanchor === "bottom";
      add(canvas, "text", { x: at, y: above ? py - box.top + 19 : py + 12, "text-anchor": anchor,
        class: `note ${note.name}` }, note.text);
    }
    for (const { start, texts } of eventLabels(events, x, width)) {
      const more = texts.length > 1 ? ` +${texts.length - 1}` : "";
      const label = add(canvas, "text", { x: start, y: box.top - 5, class: "note event" }, texts[0] + more);
      if (more) add(label, "title", {}, texts.slice(0, 10).join("\n"));
    }
    return { canvas, x, box, shown };
  }

  // -- what is under the pointer -------------------------------------------------------------------

  function nearest(trace, x, at) {
    let found = -1;
    let least = 40;
    trace.x.forEach((value, index) => {
      const away = Math.abs(x(value) - at);
      if (trace.y[index] !== null && away < least) [found, least] = [index, away];
    });
    return found;
  }

  function read(holder, figure, drawn, readout, event) {
    const { canvas, x, box, shown } = drawn;
    const bounds = canvas.getBoundingClientRect();
    const at = (event.clientX - bounds.left) * holder.clientWidth / bounds.width;
    const lines = new Map();
    let heading = "";
    for (const trace of shown) {
      if (trace.hoverinfo === "skip") continue;
      const index = nearest(trace, x, at);
      if (index < 0) continue;
      heading ||= trace.heads ? trace.heads[index]
        : typeof trace.x[index] === "number" ? `${digits(trace.x[index])} ${figure.x_unit}` : trace.x[index];
      const word = Array.isArray(trace.before) ? trace.before[index] : trace.before || "";
      lines.set(trace.name, `${trace.name}: ${word}${digits(trace.y[index])} ${figure.unit}${trace.after || ""}`);
    }
    canvas.querySelector(".cursor")?.remove();
    readout.hidden = !lines.size;
    if (!lines.size) return;
    add(canvas, "line", { x1: at, x2: at, y1: box.top, y2: box.bottom, class: "cursor" });
    readout.replaceChildren();
    html(readout, "strong", "", heading);
    for (const line of lines.values()) html(readout, "div", "", line);
    const left = at > holder.clientWidth / 2 ? at - readout.offsetWidth - 12 : at + 12;
    readout.style.left = `${Math.max(0, Math.min(left, holder.clientWidth - readout.offsetWidth))}px`;
  }

  function legend(holder, figure, hidden, redraw) {
    const named = figure.data.filter((trace) => trace.showlegend !== false);
    if (figure.layout.showlegend === false) return;
    const list = html(holder, "div", "legend");
    for (const trace of named) {
      const entry = html(list, "button", "", trace.name);
      entry.type = "button";
      entry.setAttribute("aria-pressed", "true");
      entry.style.setProperty("--of", trace.line.color);
      // Of a curve whose parts differ, the first part says nothing about the others.
      entry.classList.toggle("dashed", named.length === figure.data.length && trace.line.dash === "dash");
      entry.addEventListener("click", () => {
        const isHidden = !hidden.delete(trace.name) && Boolean(hidden.add(trace.name));
        entry.setAttribute("aria-pressed", String(!isHidden));
        redraw();
      });
    }
  }

  function set(holder) {
    const figure = figures[holder.dataset.chart];
    const hidden = new Set();
    const canvas = add(holder, "svg", { role: "img", "aria-label": holder.dataset.label });
    const readout = html(holder, "div", "readout");
    readout.hidden = true;
    let drawn;
    const redraw = () => { drawn = draw(holder, figure, hidden); };
    legend(holder, figure, hidden, redraw);
    redraw();
    let width = holder.clientWidth;
    new ResizeObserver(() => {
      if (holder.clientWidth && holder.clientWidth !== width) {
        width = holder.clientWidth;
        redraw();
      }
    }).observe(holder);
    canvas.addEventListener("pointermove", (event) => read(holder, figure, drawn, readout, event));
    canvas.addEventListener("pointerleave", () => {
      readout.hidden = true;
      canvas.querySelector(".cursor")?.remove();
    });
  }

  document.querySelectorAll("[data-chart]").forEach(set);
})();
