// Tables that scroll can be reached with the keyboard; the theme wraps them when a page is shown.
const reachable = () => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    table.tabIndex = 0;
    table.setAttribute("role", "region");
    table.setAttribute("aria-label", "table");
  }
};
new MutationObserver(reachable).observe(document.documentElement, { childList: true, subtree: true });
document.addEventListener("DOMContentLoaded", reachable);
