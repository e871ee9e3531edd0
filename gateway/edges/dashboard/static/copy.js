// A button beside each secret and snippet that copies it. Without this, one click marks a secret and the keyboard copies.

(() => {
  "use strict";

  if (!navigator.clipboard) return;
  const spoken = document.createElement("p");
  spoken.className = "only-read";
  spoken.setAttribute("role", "status");
  document.getElementById("content").append(spoken);

  for (const place of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button button-small";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${place.dataset.copy}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(place.querySelector("code").textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(place.querySelector("code"));
        button.textContent = "Marked";
      }
      spoken.textContent = `${button.textContent}: ${place.dataset.copy}`;
    });
    place.append(button);
  }
})();
