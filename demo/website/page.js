// Asks every location of the tour with the chosen token, and shows what comes back.

const ASK_EVERY_MS = 30_000;
const ANSWER_WITHIN_MS = 10_000;
const ECHO = "is anybody there?";

const tour = await (await fetch("/demo/tour.json")).json();
const tiles = new Map(tour.map((stop) => [stop, addTile(stop)]));
const figures = [...document.querySelectorAll("figure")];
const visitors = document.getElementById("visitors");

let visit = 0; // counts choices: an answer that belongs to an earlier one is not shown
let credentials = { token: null };
let renewal;
let renewAt;

// --- the token -------------------------------------------------------------

async function pyos(path, user) {
  const answer = await fetch(`/API/composer/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user }),
  });
  if (!answer.ok) throw new Error(`pyos answers ${answer.status}`);
  return (await answer.json()).result;
}

async function getCredentials(visitor) {
  if (visitor === "missing") return { token: null };
  if (Number(visitor)) return fromResult(await pyos("launchdesktop", visitor));
  return { token: await (await fetch(`/API/demo/token?kind=${visitor}`)).text() };
}

function fromResult({ authorization, expire_in, vncpassword }) {
  return { token: authorization, lifeMs: expire_in * 1000, password: vncpassword };
}

// A token is renewed at half its time, as abcdesktop's own client does it.
function take(fresh, user) {
  credentials = fresh;
  clearTimeout(renewal);
  renewAt = fresh.lifeMs ? Date.now() + fresh.lifeMs / 2 : null;
  if (!renewAt) return;
  renewal = setTimeout(async () => {
    const current = visit;
    const { token, lifeMs } = fromResult(await pyos("refreshdesktoptoken", user));
    if (current !== visit) return;
    take({ ...credentials, token, lifeMs }, user);
    figures.forEach(handOver);
  }, fresh.lifeMs / 2);
}

// --- asking ----------------------------------------------------------------

function target(stop, token, terminal) {
  const [before, after] = stop.path.replace("{id}", terminal).split("{token}");
  if (after === undefined) return before;
  if (!token && before.includes("?")) return before.split("?")[0];
  return before + (token ?? "-") + after;
}

async function ask(stop, token, terminal) {
  const path = target(stop, token, terminal);
  const answer = stop.websocket ? await converse(path) : await fetchText(stop.method, path, {
    headers: stop.header && token ? { ABCAuthorization: token } : {},
  });
  return { ...answer, received: parse(answer.text) };
}

async function fetchText(method, path, options) {
  try {
    const body = method === "POST" ? "{}" : undefined;
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const answer = await fetch(path, { method, body, signal, ...options });
    return { good: answer.ok, status: `${answer.status}`, text: await answer.text() };
  } catch (error) {
    return { good: false, status: "no answer", text: `${error}` };
  }
}

// Opens a WebSocket, takes what it says first, and where it is an echo, hears it.
async function converse(path) {
  const socket = new WebSocket(new URL(path, location.href.replace("http", "ws")));
  socket.binaryType = "arraybuffer";
  const next = () => new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => resolve(data);
    socket.onclose = reject;
    setTimeout(reject, ANSWER_WITHIN_MS);
  });
  try {
    const text = readable(await next());
    if (!parse(text)) return { good: true, status: "open", text };
    socket.send(ECHO);
    const echoes = (await next()) === ECHO;
    return { good: echoes, status: echoes ? "open, echoes" : "open, no echo", text };
  } catch {
    // A refused handshake shows a page no status; the same request without the upgrade does.
    const { status, text } = await fetchText("GET", path);
    return { good: false, status: `refused, ${status}`, text };
  } finally {
    socket.close();
  }
}

const readable = (data) => (typeof data === "string" ? data : new TextDecoder().decode(data));

// What an echo service says that it has received; undefined when something else answers.
function parse(text) {
  try {
    const value = JSON.parse(text);
    return value?.service ? value : undefined;
  } catch {
    return undefined;
  }
}

// --- showing ---------------------------------------------------------------

function addTile(stop) {
  const tile = document.getElementById("tile").content.cloneNode(true).firstElementChild;
  tile.querySelector(".location").textContent = stop.location;
  tile.querySelector(".method").textContent = stop.websocket ? "WebSocket" : stop.method;
  const group = stop.guarded ? "pod" : stop.service === "pyos" ? "pyos" : "other";
  document.querySelector(`[data-upstream="${group}"]`).append(tile);
  return tile;
}

function show(stop, { good, status, text, received }) {
  const tile = tiles.get(stop);
  tile.dataset.state = good ? "good" : "bad";
  const who = received ? [received.service, received.pod] : good ? [stop.service] : [];
  tile.querySelector(".answer").textContent = [status, ...who].filter(Boolean).join(" · ");
  tile.querySelector("pre").textContent = received ? JSON.stringify(received, null, 2) : text;
  if (received?.note) showNote(received);
}

// In place of a desktop or a terminal that is not installed: what to install.
function showNote({ service, pod, note }) {
  const figure = document.querySelector(`figure[data-service="${service}"]`);
  const canvas = figure?.querySelector("canvas");
  if (!canvas) return;
  figure.querySelector("iframe").hidden = true;
  canvas.hidden = false;
  canvas.ariaLabel = `The pod ${pod}: ${note}`;
  const draw = canvas.getContext("2d");
  draw.fillStyle = "#10141a";
  draw.fillRect(0, 0, canvas.width, canvas.height);
  draw.textAlign = "center";
  draw.fillStyle = "#d7dde5";
  draw.font = "28px system-ui, sans-serif";
  draw.fillText(`Here would be the ${service === "xterm" ? "terminal" : "desktop"} of ${pod}`, 512, 290);
  draw.fillStyle = "#ffb454";
  draw.font = "22px system-ui, sans-serif";
  draw.fillText(note, 512, 340, 960);
}

function summarize() {
  const bad = [...tiles.values()].filter((tile) => tile.dataset.state === "bad").length;
  document.getElementById("summary").textContent =
    bad ? `${tiles.size - bad} of ${tiles.size} locations answer, ${bad} do not`
      : `all ${tiles.size} locations answer`;
}

function handOver(figure) {
  if (!credentials.token) return;
  figure.querySelector("iframe").contentWindow.postMessage(credentials, location.origin);
}

async function askAll() {
  const current = visit;
  const { token } = credentials;
  const askAndShow = async (stop, terminal) => {
    const answer = await ask(stop, token, terminal);
    if (current === visit) show(stop, answer);
    return answer;
  };
  // The other two locations of terminals need one that has been started.
  const start = tour.find((stop) => stop.path === "/terminals");
  const { text } = await askAndShow(start);
  const terminal = /^\d+$/.test(text) ? text : "1";
  await Promise.all(tour.filter((stop) => stop !== start).map((stop) => askAndShow(stop, terminal)));
  if (current === visit) summarize();
}

async function changeVisitor() {
  const current = ++visit;
  document.getElementById("summary").textContent = "asking";
  const visitor = new FormData(visitors).get("visitor");
  const fresh = await getCredentials(visitor);
  if (current !== visit) return;
  take(fresh, visitor);
  for (const figure of figures) {
    const frame = figure.querySelector("iframe");
    frame.contentWindow.location.reload();
    frame.hidden = false;
    figure.querySelector("canvas").hidden = true;
  }
  await askAll();
}

for (const figure of figures) {
  figure.querySelector("iframe").addEventListener("load", () => handOver(figure));
}
visitors.addEventListener("change", changeVisitor);
visitors.addEventListener("submit", (event) => {
  event.preventDefault();
  askAll();
});
setInterval(askAll, ASK_EVERY_MS);
setInterval(() => {
  const left = Math.max(0, Math.round((renewAt - Date.now()) / 1000));
  document.getElementById("life").textContent = renewAt ? `the token is renewed in ${left} s` : "";
}, 1000);
changeVisitor();
