// Buttons that copy a field. Without a secure context there is no clipboard to write to: the field is then selected.
(() => {
  const status = document.getElementById("copied");
  for (const button of document.querySelectorAll("[data-copies]")) {
    const field = document.getElementById(button.dataset.copies);
    button.hidden = false;
    button.addEventListener("click", async () => {
      field.select();
      try {
        await navigator.clipboard.writeText(field.value);
        status.textContent = `${button.textContent.replace("Copy ", "")} is copied.`;
      } catch {
        status.textContent = "It is selected: copy it with Ctrl+C.";
      }
    });
  }
})();
