// Before anything is drawn: light or dark, as the page of Airflow around us is.
(function () {
  "use strict";
  const own = document.documentElement;
  let around = null;
  try {
    around = window.parent !== window ? window.parent.document.documentElement : null;
  } catch {
    around = null; // another site's page around us
  }
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  function follow() {
    const classes = around ? around.classList : null;
    const told = classes && (classes.contains("dark") || classes.contains("light"));
    const dark = told ? classes.contains("dark") : system.matches;
    if (own.dataset.theme !== (dark ? "dark" : "light")) {
      own.dataset.theme = dark ? "dark" : "light";
      window.dispatchEvent(new Event("themechange"));
    }
  }

  follow();
  system.addEventListener("change", follow);
  if (around) {
    new MutationObserver(follow).observe(around, { attributes: true, attributeFilter: ["class"] });
  }
})();
