// The reports follow Airflow's colour mode, which it keeps for the whole origin under "theme".
(function () {
  "use strict";
  function follow() {
    var mode = null;
    try {
      mode = window.localStorage.getItem("theme");
    } catch (refused) {
      mode = null;
    }
    if (mode === "light" || mode === "dark") {
      document.documentElement.setAttribute("data-theme", mode);
    } else {
      document.documentElement.removeAttribute("data-theme");
    }
  }
  follow();
  window.addEventListener("storage", follow);
  // Airflow's frame may not lead its window away, so Airflow's own document does: a page of
  // Airflow's inside of its frame would be Airflow in Airflow.
  document.addEventListener("click", function (event) {
    var link = event.target.closest ? event.target.closest("a[data-outside]") : null;
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || window.parent === window) {
      return;
    }
    var outer = null;
    try {
      outer = window.parent.document.createElement("a");
    } catch (refused) {
      return;
    }
    event.preventDefault();
    outer.href = link.href;
    window.parent.document.body.appendChild(outer);
    outer.click();
    outer.remove();
  });
  // A second click on a button that decides something must not decide twice.
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (form.method === "post" && !form.querySelector("[name=as]")) {
      if (form.dataset.sent) {
        event.preventDefault();
      }
      form.dataset.sent = "yes";
    }
  });
})();
