
// Shows the rows that have every word of the filter.
(() => {
  const field = document.getElementById("filter");
  if (!field) return;
  const rows = [...document.querySelectorAll("#rows tr[data-text]")];
  const said = document.getElementById("filtered");
  const apply = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every((word) => row.dataset.text.includes(word));
      shown += Number(!row.hidden);
    }
    said.textContent = words.length ? `${shown} of ${rows.length}` : "";
  };
  field.addEventListener("input", apply);
  apply();
})();
