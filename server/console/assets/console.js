// A screen is whole without this. It fetches the screen again when the server says that something has changed, says so
// when the server is silent, and copies commands.
"use strict";
(() => {
  const quiet = 15000; // ms after which a screen is fetched again although nothing has changed
  const limit = 20000; // ms without an answer after which the page says that it is old
  let stream, fetched = Date.now(), answered = Date.now(), busy = false, more = false;

  const old = (is) => {
    const note = document.getElementById("contact");
    if (is && note.hidden) note.querySelector("span").textContent = document.querySelector("footer time")?.textContent ?? "an unknown time";
    note.hidden = !is;
  };

  // address tells an element again after its page was fetched anew, so that the keyboard stays where it is.
  const address = (e) => e && e !== document.body && document.getElementById("main").contains(e)
    ? [...document.querySelectorAll("main a, main button, main input, main select, main summary")].indexOf(e) : -1;

  const again = async () => {
    if (busy) more = true;
    if (document.querySelector("main[data-still]")) { more = false; return; } // it shows what was asked for once
    if (busy || document.hidden || document.querySelector("main form :focus")) return;
    busy = true;
    fetched = Date.now();
    try {
      const r = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await r.text(), "text/html");
      const main = page.querySelector("main");
      if (r.ok && main) {
        const at = address(document.activeElement), open = [...document.querySelectorAll("main details")].map((d) => d.open);
        document.getElementById("main").replaceWith(document.adoptNode(main));
        document.querySelector("footer").replaceWith(document.adoptNode(page.querySelector("footer")));
        document.querySelector("header").replaceWith(document.adoptNode(page.querySelector("header")));
        document.body.className = page.body.className;
        document.title = page.title;
        document.querySelectorAll("main details").forEach((d, i) => { if (open[i]) d.open = true; });
        dress();
        if (at >= 0) document.querySelectorAll("main a, main button, main input, main select, main summary")[at]?.focus();
        answered = Date.now();
        old(false);
      }
    } catch { /* the page says that it is old, once it is */ }
    busy = false;
    if (more) { more = false; setTimeout(again, 1000); }
  };

  // dress adds what only works with a script.
  const dress = () => {
    document.querySelectorAll(".live").forEach((e) => { e.textContent = "This page follows by itself."; });
    document.querySelectorAll("code.do").forEach((code) => {
      const b = document.createElement("button");
      b.type = "button";
      b.className = "copy";
      b.textContent = "Copy";
      b.setAttribute("aria-label", "Copy the command " + code.textContent);
      b.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(code.textContent);
          b.textContent = "Copied";
        } catch { // without TLS a browser has no clipboard: the command is selected
          getSelection().selectAllChildren(code);
        }
      });
      code.classList.add("copyable"); // leaves room for the button
      code.after(b);
    });
  };

  const listen = () => {
    if (stream || document.hidden) return;
    stream = new EventSource("/events");
    stream.addEventListener("changed", again);
    stream.addEventListener("alive", () => {
      answered = Date.now();
      if (Date.now() - fetched >= quiet) again();
    });
    stream.addEventListener("error", () => { if (stream?.readyState === EventSource.CLOSED) stream = undefined; });
  };

  // A page that nobody sees holds no stream: browsers allow six connections to a server.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { stream?.close(); stream = undefined; } else { again(); listen(); }
  });
  setInterval(() => {
    if (document.hidden) return;
    if (Date.now() - answered >= limit) old(true);
    if (!stream) { again(); if (Date.now() - answered < limit) listen(); }
  }, 5000);
  dress();
  listen();
})();
