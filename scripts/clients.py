"""Called by scripts/clients.

serve: a WebSocket server that sends back what it gets.
ask FAULTS TUNNELS: asks the gateway before the embedded upstream, and the one before that server.
"""
import html.parser
import sys

import requests
import websockets.exceptions
import websockets.sync.client
import websockets.sync.server


def serve():
    def echo(socket):
        for message in socket:
            if message == "close, please":
                socket.close(4001, "as you wish")
            socket.send(message)

    with websockets.sync.server.serve(echo, "127.0.0.1", 0, max_size=None, subprotocols=["echo.example"]) as server:
        print(f"listening on http://127.0.0.1:{server.socket.getsockname()[1]}", flush=True)
        server.serve_forever()


wrong = rows = 0


def row(what, got, expected):
    global wrong, rows
    rows += 1
    wrong += got != expected
    print(f"{'ok    ' if got == expected else 'WRONG '} {what:<52} {got!r}" + ("" if got == expected else f"   expected: {expected!r}"))


class Heading(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.inside, self.text = False, ""

    def handle_starttag(self, tag, attrs):
        self.inside = tag == "h1"

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        self.text += data if self.inside else ""


def ask(faults, tunnels):
    print("== Python requests")
    get = lambda path, accept: requests.get(faults + path, headers={"Accept": accept} if accept else {}, timeout=30)
    answer = get("/refused", "application/json")
    row("JSON", (answer.status_code, answer.json()["code"], answer.json()["error"]), (502, "connection_refused", "the upstream refused the connection"))
    answer = get("/slow", "application/problem+json")
    problem = answer.json()
    row("problem details", (answer.status_code, answer.headers["content-type"], problem["title"], problem["status"], problem["code"]), (504, "application/problem+json", "Gateway Timeout", 504, "http_response_timeout"))
    row("what it asks for by itself", get("/refused", None).headers["content-type"], "application/problem+json")
    answer = get("/unknown-name", "text/html")
    page = Heading()
    page.feed(answer.text)
    row("HTML", (answer.status_code, answer.encoding, page.text), (502, "utf-8", "The server cannot be reached"))
    row("healthy", get("/ok", None).text, "hello\n")
    row("HEAD", (lambda head: (head.status_code, head.text))(requests.head(faults + "/refused", timeout=30)), (502, ""))
    for path in ["/truncated", "/truncated-chunks", "/bad-chunk", "/reset-body", "/stall"]:
        try:
            shown = f"a complete {get(path, None).status_code}"
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
            shown = "an error"
        row(f"a response that breaks: {path}", shown, "an error")

    print("== Python websockets")
    url = tunnels.replace("http", "ws", 1)
    with websockets.sync.client.connect(url, max_size=None, subprotocols=["other.example", "echo.example"]) as socket:
        row("subprotocol", socket.subprotocol, "echo.example")
        row("extensions", [extension.name for extension in socket.protocol.extensions], ["permessage-deflate"])
        for message in ["hello", b"\x00\xff", "\u00fc" * 1000, bytes(1_000_000)]:
            socket.send(message)
            row(f"echo of {len(message)} {type(message).__name__}", socket.recv(30) == message, True)
        row("ping", socket.ping().wait(30), True)
        socket.send("close, please")
        try:
            socket.recv(30)
            row("close", "a message", "closed")
        except websockets.exceptions.ConnectionClosed as closed:
            row("close", (closed.rcvd.code, closed.rcvd.reason), (4001, "as you wish"))
    try:
        websockets.sync.client.connect(faults.replace("http", "ws", 1) + "/refused", open_timeout=30)
        row("a refused upgrade", "connected", "refused")
    except websockets.exceptions.InvalidStatus as refused:
        row("a refused upgrade", refused.response.status_code, 502)
    print(f"{rows - wrong} passed, {wrong} failed")
    sys.exit(wrong > 0)


serve() if sys.argv[1] == "serve" else ask(*sys.argv[2:])
