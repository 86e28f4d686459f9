// Before the first paint, so that nobody in the dark sees a white flash. What was chosen wins over the system's choice.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("interlock-theme");
    } catch {
      // Storage may be forbidden in a frame; the system's choice stands.
    }
    const known = chosen === "light" || chosen === "dark";
    document.documentElement.dataset.theme = known ? chosen : system.matches ? "dark" : "light";
  };
  apply();
  system.addEventListener("change", apply);
  addEventListener("interlock-theme", apply);
})();
