// Refinements only: every page works without this file.
const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;
const keys = document.getElementById("keys");

for (const button of document.querySelectorAll("[data-opens]")) {
  button.hidden = false;
  button.addEventListener("click", () => document.getElementById(button.dataset.opens).showModal());
}

// Only one of these can be reached by Tab; the arrows go on from it.
const rove = (from, to) => {
  if (!to) return;
  from.tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
};

const step = (by) => {
  const rows = [...document.querySelectorAll("main [data-row]")];
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at + by))];
  (next.querySelector("a.feature") ?? next).focus();
  next.scrollIntoView({ block: "nearest" });
};

const sideways = (focused, by) => {
  const within = focused.closest("[data-row], .page-sentence, [data-bars]");
  if (!within) return false;
  const kind = focused.closest("[data-bars]") ? ".bar" : ".token[data-activation]";
  const all = [...within.querySelectorAll(kind)];
  if (all.length === 0) return false;
  const at = all.indexOf(focused);
  rove(focused, at < 0 ? all[by > 0 ? 0 : all.length - 1] : all[at + by]);
  return true;
};

document.addEventListener("keydown", (event) => {
  const find = event.target.closest(".find");
  if (find && /^(Arrow(Up|Down)|Escape)$/.test(event.key)) {
    // From the box into its best matches, and out of them.
    const places = [...find.querySelectorAll("input[type=search], li:nth-child(-n+8) a.feature")];
    const by = event.key === "ArrowDown" ? 1 : -1;
    if (event.key === "Escape") event.target.blur();
    else places[Math.max(0, places.indexOf(event.target) + by)]?.focus();
    event.preventDefault();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || keys.open) return;
  const link = document.querySelector(`a[data-key="${CSS.escape(event.key)}"]`);
  if (event.key === "/") document.getElementById("search").focus();
  else if (event.key === "?") keys.showModal();
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "Escape") return closeMeanings(null);
  else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
    if (!sideways(event.target, event.key === "ArrowRight" ? 1 : -1)) return;
  } else if (event.key === "Enter" && event.target.matches("li[data-row]")) event.target.querySelector("a")?.click();
  else if (link) link.click();
  else return;
  event.preventDefault();
});

// A tap or click on a token shows its value, as focus does.
document.addEventListener("click", (event) => {
  const token = event.target.closest("span.token[data-activation]");
  if (token && !token.closest("a")) {
    token.tabIndex = 0;
    token.focus({ preventScroll: true });
  }
  closeMeanings(event.target);
});

const closeMeanings = (but) => {
  for (const open of document.querySelectorAll("details.meaning[open]")) if (!open.contains(but)) open.open = false;
};

// What is asked for when the page goes away is broken off, which is no fault to tell of.
let leaves, asked;
document.addEventListener("htmx:beforeSend", ({ detail }) => (asked = detail.xhr));
addEventListener("beforeunload", () => {
  leaves = true;
  if (asked) asked.onerror = asked.onabort = null;
});
addEventListener("pageshow", () => (leaves = false));
document.addEventListener("htmx:beforeRequest", (event) => leaves && event.preventDefault());

// What failed is said over the page, which stays as it was.
const failed = document.getElementById("failed");
const tell = ({ detail }) => {
  const page = new DOMParser().parseFromString(detail.xhr.responseText, "text/html");
  failed.textContent = page.querySelector("h1 + p")?.textContent ?? "The server does not answer.";
  failed.showPopover();
};
for (const kind of ["response", "send"]) document.addEventListener(`htmx:${kind}Error`, tell);

// Addresses hold what was asked for, not the fields that were left empty.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.verb !== "get") return;
  for (const [name, value] of [...detail.formData]) if (value === "") detail.formData.delete(name);
});

// Dragging over bars that lead to ranges asks for all of them at once.
let drag = null;
const barAt = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest("a.bar");
document.addEventListener("pointerdown", (event) => {
  const bar = event.target.closest?.("a.bar");
  if (bar && event.button === 0) drag = { from: bar, to: bar };
});
document.addEventListener("dragstart", (event) => {
  if (drag) event.preventDefault();
});
document.addEventListener("pointermove", (event) => {
  const over = drag && barAt(event);
  if (!over || over.parentNode !== drag.from.parentNode) return;
  drag.to = over;
  const bars = [...over.parentNode.querySelectorAll("a.bar")];
  const [first, last] = [bars.indexOf(drag.from), bars.indexOf(over)].sort((a, b) => a - b);
  bars.forEach((bar, place) => bar.classList.toggle("dragged", place >= first && place <= last && first !== last));
});
document.addEventListener("pointerup", () => {
  if (!drag) return;
  const { from, to } = drag;
  drag = null;
  for (const bar of document.querySelectorAll("a.bar.dragged")) bar.classList.remove("dragged");
  const form = document.getElementById("filters");
  if (from === to || !form) return;
  const ends = [Number(from.dataset.low), Number(to.dataset.low)];
  const [low, high] = ends[0] <= ends[1] ? [from, to] : [to, from];
  form.elements.min_density.value = low.dataset.low;
  form.elements.max_density.value = high.dataset.high;
  form.querySelector("details").open = true;
  form.requestSubmit();
});
