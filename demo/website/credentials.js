// A page of the demo gets its token in the fragment or by postMessage. Neither is ever sent to a
// server, so the page's own address never puts a token into a log. (The WebSocket's address does:
// a browser can set no header there, which is why the router takes the token out of the query.)

const fragment = new URLSearchParams(location.hash.slice(1));

export const credentials = {
  token: fragment.get("token"),
  password: fragment.get("password"),
};

// Resolves with the first token; later ones, as they are renewed, appear in `credentials`.
export const arrived = new Promise((resolve) => {
  if (credentials.token) resolve(credentials);
  addEventListener("message", ({ origin, data }) => {
    if (origin !== location.origin || typeof data?.token !== "string") return;
    Object.assign(credentials, data);
    resolve(credentials);
  });
});

// A WebSocket's address on this host, with the token where a browser can put it.
export function address(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = `jwt_token=${credentials.token}`;
  return url.href;
}

// Say in the page, in words and as a value for style and tests, how the connection stands.
export function say(state, words) {
  document.body.dataset.state = state;
  document.getElementById("state").textContent = words;
}

// A refused handshake shows a page no status; the same request without the upgrade does.
export async function reason(path) {
  const answer = await fetch(path, { headers: { ABCAuthorization: credentials.token } });
  return answer.status === 401 ? "401, the token is refused" : "the connection failed";
}
