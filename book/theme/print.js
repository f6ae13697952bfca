// Images that are far from the window are not loaded yet (loading="lazy"), but a printer needs them all.
const loadAll = () => document.querySelectorAll("img[loading=lazy]").forEach(image => { image.loading = "eager"; });
if (location.pathname.endsWith("/print.html")) loadAll();
addEventListener("beforeprint", loadAll);
