
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  // A finger on a chart scrolls the page; it does not zoom the chart.
  const touched = window.matchMedia("(pointer: coarse)").matches;
  const charts = document.querySelectorAll("[data-chart]");
  for (const element of charts) {
    const figure = figures[element.dataset.chart];
    if (touched) figure.layout.dragmode = false;
    Plotly.newPlot(element, figure.data, figure.layout, {
      responsive: true,
      displayModeBar: false,
    });
  }
  // Paper is narrower than most screens, and cannot be clicked on.
  const fit = () => charts.forEach((element) => Plotly.Plots.resize(element));
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((element) => { element.open = true; });
    fit();
  });
  window.addEventListener("afterprint", fit);
})();
