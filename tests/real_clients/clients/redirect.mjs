// Sends what a client addresses to Cloudflare's gateway host to the local gateway instead.
// Only scheme, host and port change; a request to any other host is an error.
const { fetch } = globalThis;
const cloudflare = "https://gateway.ai.cloudflare.com/";

globalThis.fetch = (url, init) => {
  if (!String(url).startsWith(cloudflare)) throw new Error(`unexpected request to ${url}`);
  return fetch(`${process.env.GATEWAY_URL}/${String(url).slice(cloudflare.length)}`, init);
};
