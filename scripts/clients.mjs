// Called by scripts/clients: the gateway before the embedded upstream, and the one before an echoing WebSocket server.
import { WebSocket } from "ws";

const [faults, tunnels] = process.argv.slice(2);
let rows = 0;
let wrong = 0;
const row = (what, got, expected) => {
  const [shown, wanted] = [got, expected].map((value) => JSON.stringify(value));
  rows += 1;
  wrong += shown !== wanted;
  console.log(`${shown === wanted ? "ok    " : "WRONG "} ${what.padEnd(52)} ${shown}${shown === wanted ? "" : `   expected: ${wanted}`}`);
};
const ask = (path, accept) => fetch(faults + path, { headers: accept ? { accept } : {}, signal: AbortSignal.timeout(30_000) });

console.log("== Node's fetch");
let answer = await ask("/refused", "application/json");
let json = await answer.json();
row("JSON", [answer.status, json.code, json.error], [502, "connection_refused", "the upstream refused the connection"]);
answer = await ask("/slow", "application/problem+json");
json = await answer.json();
row("problem details", [answer.status, answer.headers.get("content-type"), json.title, json.status, json.code],
  [504, "application/problem+json", "Gateway Timeout", 504, "http_response_timeout"]);
row("what it asks for by itself", (await ask("/refused")).headers.get("content-type"), "application/problem+json");
answer = await ask("/unknown-name", "text/html");
row("HTML", [answer.status, /<h1>(.*)<\/h1>/.exec(await answer.text())[1]], [502, "The server cannot be reached"]);
row("healthy", await (await ask("/ok")).text(), "hello\n");
for (const path of ["/truncated", "/truncated-chunks", "/bad-chunk", "/reset-body", "/stall"]) {
  const shown = await ask(path).then((cut) => cut.text()).then(() => "complete", () => "an error");
  row(`a response that breaks: ${path}`, shown, "an error");
}

console.log("== ws");
const socket = new WebSocket(tunnels.replace("http", "ws"), ["echo.example"]);
const next = (event) => new Promise((done, fail) => { socket.once(event, (...what) => done(what)); socket.once("error", fail); });
await next("open");
row("subprotocol", socket.protocol, "echo.example");
for (const message of [Buffer.from("hello"), Buffer.alloc(1_000_000, 7)]) {
  const echo = next("message");
  socket.send(message);
  row(`echo of ${message.length} bytes`, message.equals((await echo)[0]), true);
}
const pong = next("pong");
socket.ping("there?");
row("ping", String((await pong)[0]), "there?");
const closed = next("close");
socket.send("close, please");
row("close", (await closed).map(String), ["4001", "as you wish"]);
const refused = new WebSocket(`${faults.replace("http", "ws")}/refused`);
row("a refused upgrade", await new Promise((done) => refused.once("error", (error) => done(error.message))), "Unexpected server response: 502");

console.log(`${rows - wrong} passed, ${wrong} failed`);
process.exit(wrong ? 1 : 0);
