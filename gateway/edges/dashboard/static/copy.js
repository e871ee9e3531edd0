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
    const say = (word) => {
      button.textContent = word;
      button.setAttribute("aria-label", `${word} ${place.dataset.copy}`);
    };
    say("Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(place.querySelector("code").textContent);
        say("Copied");
      } catch {
        getSelection().selectAllChildren(place.querySelector("code"));
        say("Marked");
      }
      spoken.textContent = `${button.textContent}: ${place.dataset.copy}`;
    });
    place.append(button);
  }
})();
