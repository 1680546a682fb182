/* For browsers without modules, written so that they understand it. */
document.addEventListener("DOMContentLoaded", function () {
  document.getElementById("status").textContent =
    "This browser is too old for this page. A current Chrome, Edge, Firefox or Safari will do.";
});
