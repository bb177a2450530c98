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
