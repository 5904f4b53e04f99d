// Where scripts run, texts are streamed; without, the page waits for the whole.
(() => {
  if (!window.htmx) return;
  for (const field of document.querySelectorAll("[data-with-scripts]")) field.value = field.dataset.withScripts;
})();
