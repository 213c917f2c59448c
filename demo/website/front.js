// The website's two servers, and what the router's cache keeps of them.

const ASK_EVERY_MS = 1_000;
const SHOWN = 16;

const pool = document.getElementById("pool");
const cache = document.getElementById("cache");
const answered = [];

// --- the servers -------------------------------------------------------------

async function askWho() {
  const answer = await fetch("/demo/name", { cache: "no-store" });
  answered.push(answer.ok ? await answer.text() : `${answer.status}`);
  answered.splice(0, answered.length - SHOWN);
  pool.dataset.state = answer.ok ? "good" : "bad";
  pool.querySelector("ol").replaceChildren(...answered.map((name) => {
    const item = document.createElement("li");
    item.textContent = item.dataset.server = name;
    return item;
  }));
}

async function control(change) {
  const answer = await fetch("/API/demo/website", change && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(change),
  });
  const { result, message } = await answer.json();
  pool.querySelector("output").textContent = answer.ok ? "" : message;
  for (const [name, runs] of Object.entries(result ?? {})) {
    const button = pool.querySelector(`button[data-server="${name}"]`);
    button.textContent = `${runs ? "Stop" : "Start"} ${name}`;
    button.dataset.runs = runs;
  }
}

pool.addEventListener("click", ({ target }) => {
  const { server, runs } = target.dataset;
  if (server) control({ server, run: runs === "false" });
});

// --- the cache ---------------------------------------------------------------

let newsAsked = 0;

async function askNews(mode) {
  const asked = (newsAsked += 1);
  const answer = await fetch("/demo/news", { cache: mode });
  const show = (field, text) => {
    cache.querySelector(`[data-field="${field}"]`).textContent = text;
  };
  const status = answer.headers.get("cache-status") ?? "none";
  const { server, made } = await answer.json();
  // An answer that is overtaken by that to a later question is old news.
  if (asked !== newsAsked) return;
  cache.dataset.state = answer.ok ? "good" : "bad";
  show("cache-status", status);
  show("age", `${answer.headers.get("age") ?? 0} s`);
  show("made", `${server}, at ${made}`);
}

cache.addEventListener("click", ({ target }) => {
  if (target.dataset.cache) askNews(target.dataset.cache);
});

await control();
await askNews("default");
askWho();
setInterval(askWho, ASK_EVERY_MS);
