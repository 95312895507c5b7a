
"use strict";
// What every page does: its list of contents, tables that scroll, paper.
(() => {
  // A list beside the page is open; one above it opens when it is wanted, and closes after that.
  const contents = document.querySelector(".contents details");
  const above = window.matchMedia("(max-width: 1100px)");
  if (contents && above.matches) contents.open = false;
  contents?.addEventListener("click", (event) => {
    if (event.target.matches("a") && above.matches) contents.open = false;
  });

  // What scrolls sideways can be scrolled with keys.
  const reach = () => document.querySelectorAll(".scroll").forEach((element) => {
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
    else element.removeAttribute("tabindex");
  });
  reach();
  window.addEventListener("resize", reach);
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("main details").forEach((element) => { element.open = true; });
  });
})();
