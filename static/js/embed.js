// Tells the page around it how high this one is: {"featurescope": {"height": pixels}}.
(() => {
  if (window.parent === window) return;
  const tell = () => window.parent.postMessage({ featurescope: { height: document.documentElement.scrollHeight } }, "*");
  new ResizeObserver(tell).observe(document.body);
  tell();
})();
