// What the pages of the second skin do in the browser: questions before a save, and the way out of the frame.

const out = document.body.dataset.out;
if (out) top.location.href = out;

for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => {
    if (!confirm(form.dataset.ask)) event.preventDefault();
  });
}

const sure = document.getElementById("sure");
if (sure) {
  document.getElementById("save").addEventListener("click", () => sure.showModal());
  document.getElementById("no").addEventListener("click", () => sure.close());
  document.getElementById("yes").addEventListener("click", () => {
    sure.close();
    document.getElementById("entry").requestSubmit();
  });
}
