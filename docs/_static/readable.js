"use strict";
// What the theme leaves out for whoever cannot see the page, or has no mouse.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".caption[role=heading]").forEach((one) => one.setAttribute("aria-level", "2"));
  document.querySelector("aside.sidebar-drawer")?.setAttribute("aria-label", "All pages");
  document.querySelector("aside.toc-drawer")?.setAttribute("aria-label", "This page");
  const icons = document.querySelector(".content-icon-container");
  icons?.setAttribute("role", "navigation");
  icons?.setAttribute("aria-label", "Source and theme");
  document.querySelectorAll("pre, .table-wrapper").forEach((one) => one.setAttribute("tabindex", "0"));
});
