
"use strict";
(() => {
  const form = document.getElementById("filter");
  const words = document.getElementById("words");
  const toggle = document.getElementById("toggle");
  const shown = document.getElementById("shown");
  const scenarios = [...document.querySelectorAll("details.scenario")];
  const texts = new Map(scenarios.map((s) => [s, s.textContent.toLowerCase()]));
  const boxes = [...form.querySelectorAll("input[type=checkbox]")];
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hidden = new Set(boxes.filter((b) => !b.checked).map((b) => b.value));
    let count = 0;
    for (const s of scenarios) {
      s.hidden = hidden.has(s.dataset.outcome) || !wanted.every((w) => texts.get(s).includes(w));
      if (!s.hidden) count += 1;
    }
    shown.textContent = count === scenarios.length ? "" : `${count} of ${scenarios.length}`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (e) => e.preventDefault());
  toggle.addEventListener("click", () => {
    const open = toggle.textContent === "open all";
    for (const s of scenarios) if (!s.hidden) s.open = open;
    toggle.textContent = open ? "close all" : "open all";
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "/" && document.activeElement !== words) { e.preventDefault(); words.focus(); }
  });
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) { target.open = true; target.scrollIntoView(); }
  form.hidden = false;
})();
