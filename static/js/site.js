// Refinements only: every page works without this file.
(() => {
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;
  const keys = document.getElementById("keys");

  for (const button of document.querySelectorAll("[data-opens]")) {
    button.hidden = false;
    button.addEventListener("click", () => document.getElementById(button.dataset.opens).showModal());
  }

  const step = (by) => {
    const rows = [...document.querySelectorAll("[data-row]")];
    if (rows.length === 0) return;
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    const next = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
    (next.querySelector("a.feature") ?? next).focus();
    next.scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || keys.open) return;
    const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
    if (event.key === "/") document.getElementById("search").focus();
    else if (event.key === "?") keys.showModal();
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (link) link.click();
    else return;
    event.preventDefault();
  });
})();
