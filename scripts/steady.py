"""What a gateway has to bear that is left running. Prints a row for each, and fails on a wrong one.

    steady.py GATEWAY    the path of the example gateway, built with the features metrics and retry
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from rig import PATIENCE, Gateway, Upstream, answer_ok, rest, row, status_of, until, wrong

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Upstream2(Upstream):
    """An upstream over HTTP/2: `asked(stream, path)` for each request, over which connection it came, and `send` to answer."""

    def __init__(self, asked, settings=None):
        self.on_request, self.settings, self.connections = asked, settings or {}, 0
        super().__init__(None)

    def one(self, connection):
        self.connections += 1
        number = self.connections
        self.last = connection
        # A client that has not seen the settings yet may open more streams than there may be.
        with connection, contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
            if self.settings:
                state.local_settings = h2.settings.Settings(client=False, initial_values=self.settings)
            state.initiate_connection()
            connection.sendall(state.data_to_send())
            while part := connection.recv(65536):
                for event in state.receive_data(part):
                    if isinstance(event, h2.events.RequestReceived):
                        self.on_request(state, event.stream_id, dict(event.headers)[":path"], number)
                    elif isinstance(event, h2.events.WindowUpdated):
                        self.pour(state, connection)
                connection.sendall(state.data_to_send())
                self.pour(state, connection)

    def cut(self):
        """Ends the last connection."""
        self.last.shutdown(socket.SHUT_RDWR)

    def pour(self, state, connection):
        """Sends as much as the windows allow to those that get a body without an end."""
        for stream in getattr(state, "endless", []):
            with contextlib.suppress(h2.exceptions.ProtocolError):
                while (room := min(state.local_flow_control_window(stream), 16384)) > 0:
                    state.send_data(stream, b"x" * room)
                    connection.sendall(state.data_to_send())


def answer2(state, stream, fields=()):
    # Its client may have left.
    with contextlib.suppress(h2.exceptions.ProtocolError):
        state.send_headers(stream, [(":status", "200"), ("content-length", "2"), *fields])
        state.send_data(stream, b"ok", end_stream=True)


class Client2:
    """A client over HTTP/2 that asks once at a time."""

    def __init__(self, gateway):
        self.socket = gateway.connect()
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.state.initiate_connection()
        self.socket.sendall(self.state.data_to_send())

    def events(self):
        while part := self.socket.recv(65536):
            yield from self.state.receive_data(part)
            self.socket.sendall(self.state.data_to_send())
        yield "FIN"

    def end(self):
        """How the server ends the connection. By hand: to the package a connection is over with its first GOAWAY, but the server that ends
        one gently sends a PING behind it, and waits for the answer."""
        seen, goaway = b"", ""
        while part := self.socket.recv(65536):
            seen += part
            while len(seen) >= 9 and len(seen) >= 9 + (length := int.from_bytes(seen[:3], "big")):
                kind, flags, payload = seen[3], seen[4], seen[9 : 9 + length]
                seen = seen[9 + length :]
                if kind == 7:
                    goaway = "GOAWAY "
                if kind == 6 and not flags & 1:
                    self.socket.sendall(b"\0\0\x08\x06\x01\0\0\0\0" + payload)
        return goaway + "FIN"

    def ask(self, path, fields=(), content=None):
        stream = self.state.get_next_available_stream_id()
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "site.example"), (":path", path), *fields]
        self.state.send_headers(stream, head, end_stream=content is None)
        if content is not None:
            self.state.send_data(stream, content, end_stream=True)
        self.socket.sendall(self.state.data_to_send())

    def status(self, path, fields=(), content=None):
        """Of the first answer that comes."""
        self.ask(path, fields, content)
        status = "nothing"
        for event in self.events():
            if isinstance(event, h2.events.ResponseReceived):
                status = dict(event.headers)[":status"]
            if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)) or event == "FIN":
                return status


def keeps(answer=lambda _: OK):
    """Answers one request behind the other on the connection, as long as there are any."""

    def serve(connection, head):
        while head:
            connection.sendall(answer(head))
            head = until(connection, b"\r\n\r\n")

    return serve


def kind_of(answer):
    found = re.search(rb'"code":"(\w+)"', answer)
    return f"{status_of(answer)} {found[1].decode() if found else '-'}"


def ask(gateway, path="/", method="GET", fields="", content=b""):
    request = f"{method} {path} HTTP/1.1\r\nhost: site.example\r\naccept: application/json\r\nconnection: close\r\n{fields}\r\n"
    return gateway.send(request.encode() + content)[0]


def free_port():
    """One that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def probe(port, path):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: probe\r\n\r\n".encode())
        return rest(connection)[0]


def clients_at_rest():
    upstream = Upstream(keeps())
    with Gateway("--keep-alive", "300ms", "--client-head-timeout", "1s", upstream=upstream.url) as gateway:
        for name, said, logged in [
            ("nothing", b"", "no line"),
            ("a part of what HTTP/2 begins with", b"PRI * HTTP/2.0\r\n", "no request has come in time"),
            ("a part of a head", b"GET / HTTP/1.1\r\nhost: si", "no request has come in time"),
        ]:
            before = gateway.lines()
            with gateway.connect() as connection:
                connection.sendall(said)
                _, end = rest(connection)
            lines = gateway.lines()[len(before) :] if logged == "no line" else logs(gateway, logged, len(before))
            row(f"a client that has said {name}", f"let go, {logged}", f"{'let go' if end in ('FIN', 'RST') else end}, {'no line' if not lines else lines.split('closed: ')[-1].split(' client=')[0]}")
        with gateway.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n")
            seen, end = rest(connection)
        row("a connection at rest, HTTP/1.1", "200 FIN", f"{status_of(seen)} {end}")
        with gateway.connect() as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nhost: site.example\r\ncontent-length: 0\r\n\r\n\r\n")
            seen, end = rest(connection)
        row("the same, with an empty line behind the request", "200 FIN", f"{status_of(seen)} {end}")
        client = Client2(gateway)
        row("a connection at rest, HTTP/2", "200 GOAWAY FIN", f"{client.status('/')} {client.end()}")
        # All lines are there when the gateway has ended.
        gateway.end()
        lines = gateway.lines()
        row("lines that say of any of these that it is broken", 0, lines.count("connection broken"))
        row("lines about clients that have said nothing", 2, lines.count("connection closed"))
    with Gateway("--keep-alive", "300ms", upstream=upstream.url) as gateway, gateway.connect() as connection:
        for part in (b"GET / HT", b"TP/1.1\r\nhost: site", b".example\r\nconnection: close\r\n\r\n"):
            connection.sendall(part)
            time.sleep(0.4)
        row("a head that takes longer than the rest may", "200", status_of(rest(connection)[0]))
    # What hyper has taken of a body is not what its client has: 400 KB, read slowly, after the upstream has long ended.
    body = Upstream(lambda connection, _: connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 400000\r\nconnection: close\r\n\r\n" + b"x" * 400_000))
    with Gateway("--keep-alive", "300ms", upstream=body.url) as gateway, gateway.connect(receive_buffer=4096) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\nconnection: close\r\n\r\n")
        read = 0
        while part := connection.recv(16384):
            read += len(part)
            time.sleep(0.05)
        row("a slow reader has all of its body", True, read > 400_000)
    # The rest of a head that has begun is waited for, also by a gateway that ends.
    with Gateway(upstream=upstream.url) as gateway, gateway.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n")
        connection.recv(4096)
        connection.sendall(b"GET / HTTP/1.1\r\nhost: site")
        time.sleep(0.3)
        gateway.process.send_signal(signal.SIGTERM)
        logs(gateway, "finishing what is under way")
        connection.sendall(b".example\r\n\r\n")
        row("a request that had begun when the end came", "200", status_of(rest(connection)[0]))
    slow = Upstream(keeps(lambda _: time.sleep(0.5) or OK))
    with Gateway(upstream=slow.url) as gateway, gateway.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n")
        time.sleep(0.2)
        connection.sendall(b"GET / HTTP/1.1\r\nhost: site")
        first = connection.recv(4096)
        gateway.process.send_signal(signal.SIGTERM)
        logs(gateway, "finishing what is under way")
        connection.sendall(b".example\r\n\r\n")
        row("the same, of one that had begun behind another", "200 200", f"{status_of(first)} {status_of(rest(connection)[0])}")
    with Gateway(upstream=upstream.url) as gateway:
        with gateway.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n")
            connection.recv(4096)
            if shutil.which("ss"):
                sockets = subprocess.run(["ss", "-tnoH", "state", "established"], capture_output=True, text=True).stdout
                ours = [line for line in sockets.splitlines() if line.split()[2].endswith(f":{gateway.port}")]
                row("TCP keep-alive towards the client", True, any("timer:(keepalive" in line for line in ours))
            else:
                print("skipped: TCP keep-alive, there is no ss")


def too_many_clients():
    asked = []
    upstream = Upstream(keeps(lambda head: asked.append(head) or OK))
    port = free_port()
    with Gateway("--max-connections", "3", "--admin", f"127.0.0.1:{port}", upstream=upstream.url) as gateway:
        held = [gateway.connect() for _ in range(3)]
        for connection in held:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n")
            connection.recv(4096)
        waiting = gateway.connect()
        waiting.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\nconnection: close\r\n\r\n")
        logs(gateway, "no more connections are accepted")
        for path, expected in [("/-/live", "200"), ("/-/ready", "200"), ("/metrics", "200"), ("/other", "404")]:
            row(f"--admin {path} meanwhile", expected, status_of(probe(port, path)))
        metrics = probe(port, "/metrics").decode()
        answered = number(metrics, 'gateway_requests_total{status="200"}')
        row("what it counts", "3 of 200, 3 connections", f"{answered} of 200, {number(metrics, 'gateway_connections')} connections")
        row("what the layer counts", "True", str("bad_gateway_requests_total" in metrics))
        row("one client more than there may be has not been asked for", 3, len(asked))
        held.pop().close()
        row("it is answered when another has left", "200", status_of(rest(waiting)[0]))
        row("a line says so", 1, logs(gateway, "no more").count("no more connections are accepted"))


def logs(gateway, text, since=0):
    """The log, as soon as this is in it, or when it is late: lines are written by a thread of their own."""
    deadline = time.monotonic() + PATIENCE
    while text not in (lines := gateway.lines()[since:]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return lines


def line_with(gateway, text):
    return next((line for line in logs(gateway, text).splitlines() if text in line), "no line")


def number(metrics, name):
    return next((line.rsplit(" ", 1)[1] for line in metrics.splitlines() if line.startswith(name + " ")), "none")


def lines_of(fields):
    return "".join(f"{field}: {value}\r\n" for field, value in fields)


def fields():
    """One limit over HTTP/1 and HTTP/2, of requests and of responses."""

    wide = {"wide": [("x-wide", "x" * 50_000)], "wider": [("x-wide", "x" * 70_000)]}
    wide.update({"many": [(f"x-{one}", "1") for one in range(90)], "more": [(f"x-{one}", "1") for one in range(101)]})

    def head_with(request):
        fields = wide.get(request.split()[1].decode()[1:], [])
        return f"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{lines_of(fields)}\r\nok".encode()

    first = Upstream(keeps(head_with))
    second = Upstream2(lambda state, stream, path, _: answer2(state, stream, wide.get(path[1:], [])))
    expected = {"/wide": "200 -", "/wider": "502 http_response_header_section_size", "/many": "200 -", "/more": "502 http_response_header_section_size"}
    for name, upstream, options in [("HTTP/1.1", first, []), ("HTTP/2", second, ["--http2-prior-knowledge"])]:
        with Gateway(*options, upstream=upstream.url) as gateway:
            for path in expected:
                row(f"a response over {name}, {path}", expected[path], kind_of(ask(gateway, path)))
    with Gateway(upstream=first.url) as gateway:
        for name in wide:
            statuses = {"wide": "200", "wider": "431", "many": "200", "more": "431"}
            row(f"a request over HTTP/1.1, {name}", statuses[name], status_of(ask(gateway, fields=lines_of(wide[name]))))
            row(f"a request over HTTP/2, {name}", statuses[name], Client2(gateway).status("/", wide[name]))


def what_is_sent_on():
    heads, contents = [], []

    def serve(connection, head):
        while head:
            heads.append(head)
            length = re.search(rb"(?i)content-length: (\d+)", head)
            content = head.split(b"\r\n\r\n", 1)[1]
            while len(content) < int(length[1]) if length else b"transfer-encoding" in head.lower() and b"0\r\n\r\n" not in content:
                content += (part := connection.recv(65536))
                if not part:
                    return
            contents.append(content)
            answer = b"HTTP/1.1 200 OK\r\nX-Old : yes\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n"
            connection.sendall(answer + (b"" if head.startswith(b"HEAD ") else b"ok"))
            head = until(connection, b"\r\n\r\n")

    def sent(name):
        found = re.findall(rb"(?im)^" + name.encode() + rb": ([^\r]*)", heads[-1])
        return " ".join(value.decode() for value in found) or "none"

    upstream = Upstream(serve)
    with Gateway(upstream=upstream.url) as gateway:
        row("a blank before a colon is removed", True, b"\r\nx-old: yes\r\n" in ask(gateway).lower())
        for method, expected in [("POST", "0"), ("PUT", "0"), ("PATCH", "0"), ("GET", "none"), ("DELETE", "none")]:
            ask(gateway, method=method)
            row(f"content-length of {method} without content", expected, sent("content-length"))
        with gateway.connect() as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nhost: site.example\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
            first = until(connection, b"\r\n\r\n")
            connection.sendall(b"order")
            seen, _ = rest(connection)
        row("Expect: 100-continue is answered", "100 200, once", f"{status_of(first)} {status_of(seen)}, {'once' if b' 100 ' not in seen else 'twice'}")
        row("and not asked of the upstream", "none", sent("expect"))
        asked = len(heads)
        answer = ask(gateway, method="OPTIONS", fields="max-forwards: 0\r\n")
        row("Max-Forwards: 0 is obeyed", "200, asked 0", f"{status_of(answer)}, asked {len(heads) - asked}")
        ask(gateway, method="OPTIONS", fields="max-forwards: 3\r\n")
        row("Max-Forwards: 3 goes on", "2", sent("max-forwards"))
        asked = len(heads)
        row("TRACE is refused", "405, asked 0", f"{status_of(ask(gateway, method='TRACE'))}, asked {len(heads) - asked}")
        for method in ("GET", "HEAD", "DELETE"):
            answer = ask(gateway, method=method, fields="transfer-encoding: chunked\r\n", content=b"5\r\nquery\r\n0\r\n\r\n")
            row(f"content of {method} in chunks", "200, chunked, query", f"{status_of(answer)}, {sent('transfer-encoding')}, {'query' if b'query' in contents[-1] else 'nothing'}")
        row("content of GET over HTTP/2, without a length", "200, chunked, query", f"{Client2(gateway).status('/', content=b'query')}, {sent('transfer-encoding')}, {'query' if b'query' in contents[-1] else 'nothing'}")
        ask(gateway, path="*", method="OPTIONS")
        row("the target of OPTIONS *", "OPTIONS * HTTP/1.1", heads[-1].split(b"\r\n")[0].decode())
        for name, target, fields in [
            ("* of another method", "GET * HTTP/1.1", "host: site.example"),
            ("a target without a path", "GET site.example:80 HTTP/1.1", "host: site.example"),
            ("a Host that is none", "GET / HTTP/1.1", 'host: site example/"a"'),
            ("a Host with a name in it", "GET / HTTP/1.1", "host: me@site.example"),
            ("a Host with a port that is none", "GET / HTTP/1.1", "host: site.example:http"),
            ("a Host of a port alone", "GET / HTTP/1.1", "host: :80"),
        ]:
            asked = len(heads)
            answer, _ = gateway.send(f"{target}\r\n{fields}\r\nconnection: close\r\n\r\n".encode())
            row(name, "400, asked 0", f"{status_of(answer)}, asked {len(heads) - asked}")
        for host in ("", "[::1]:8080", "127.0.0.1", "site.example:443"):
            answer, _ = gateway.send(f"GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            row(f"the Host {host!r}", f"200, {host or 'none'}", f"{status_of(answer)}, {sent('x-forwarded-host')}")
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n186a0\r\n" + b"y" * 100_000 + b"\r\n0\r\nx-sum: 1\r\n\r\n"
    end_of_head = b"\r\n\r\n"
    with Gateway(upstream=Upstream(keeps(lambda _: whole)).url) as gateway:
        for version in ("1.0", "1.1"):
            answer, end = gateway.send(f"GET / HTTP/{version}\r\nhost: site.example\r\nconnection: close\r\n\r\n".encode())
            line = line_with(gateway, f'GET / HTTP/{version}"')
            row(f"a response with trailers to HTTP/{version}", "FIN, 100000 bytes, complete", f"{end}, {answer.partition(end_of_head)[2].count(b'y')} bytes, {'complete' if ' complete ' in line else line}")
        answer = ask(gateway, fields=lines_of([("x-wide", "x" * 70_000)]))
        row("bytes of an answer of its own in the log", f"bytes={len(answer) - answer.index(end_of_head) - len(end_of_head)}", re.sub(r".* (bytes=\d+) .*", r"\1", line_with(gateway, "status=431")))

    def refuse(connection, _):
        connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\nserver: secret\r\ncontent-length: 0\r\n\r\n")

    with Gateway("--intercept", upstream=Upstream(refuse).url) as gateway:
        answer = ask(gateway)
        row("--intercept keeps Retry-After, and no more", "503 received_status, True, False", f"{kind_of(answer)}, {b'retry-after: 7' in answer}, {b'secret' in answer}")
    try:
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True).close()
    except (OSError, ValueError):
        print("skipped: a client by IPv4 on an IPv6 port, there is no IPv6")
        return
    with Gateway("--listen", "[::]:0", upstream=upstream.url) as gateway:
        ask(gateway)
        row("the address of a client by IPv4 on an IPv6 port", "127.0.0.1", sent("x-forwarded-for"))
        row("in the log", True, "client=127.0.0.1 " in logs(gateway, "client=127.0.0.1 "))

def upstreams_over_http2():
    def goes_silent(state, stream, path, number):
        if number == 1 and path != "/1":
            time.sleep(PATIENCE)
        answer2(state, stream)

    upstream = Upstream2(goes_silent)
    with Gateway("--http2-prior-knowledge", "--head-timeout", "2s", upstream=upstream.url) as gateway:
        seen = [kind_of(ask(gateway, f"/{one}")) for one in range(1, 9)]
        row("a connection that says nothing more", "200 -, 504 http_response_timeout, then 200 of 2 connections", f"{seen[0]}, {seen[1]}, then {'200' if set(seen[2:]) == {'200 -'} else seen[2:]} of {upstream.connections} connections")

    upstream = Upstream2(goes_silent)
    with Gateway("--http2-prior-knowledge", "--head-timeout", "400ms", upstream=upstream.url) as gateway:
        seen = [kind_of(ask(gateway, f"/{one}")) for one in range(1, 9)]
        row("the same, with a limit that is shorter than the silence", "200 - at last, of 2 connections", f"{seen[-1]} at last, of {upstream.connections} connections")

    # Clients that leave a slow answer early are no reason.
    upstream = Upstream2(lambda state, stream, path, _: None if path == "/slow" else answer2(state, stream))
    with Gateway("--http2-prior-knowledge", upstream=upstream.url) as gateway:
        ask(gateway)
        for _ in range(3):
            with gateway.connect() as connection:
                connection.sendall(b"GET /slow HTTP/1.1\r\nhost: site.example\r\n\r\n")
                time.sleep(1.2)
        logs(gateway, "left by the client")
        ask(gateway)
        row("clients that leave a slow answer", "1 connection", f"{upstream.connections} connection")

    # Others are answered over it all the time: one slow response is no reason.
    def one_is_slow(state, stream, path, _):
        if path != "/slow":
            answer2(state, stream)

    upstream = Upstream2(one_is_slow)
    with Gateway("--http2-prior-knowledge", "--head-timeout", "2s", upstream=upstream.url) as gateway:
        ask(gateway)
        slow = threading.Thread(target=ask, args=(gateway, "/slow"))
        slow.start()
        while slow.is_alive():
            ask(gateway)
            time.sleep(0.05)
        ask(gateway)
        row("one that is slow for one request alone", "1 connection", f"{upstream.connections} connection")

    def endless(state, stream, path, _):
        if path == "/endless":
            state.send_headers(stream, [(":status", "200")])
            state.endless = [*getattr(state, "endless", []), stream]
        else:
            answer2(state, stream)

    upstream = Upstream2(endless, {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2000})
    with Gateway("--http2-prior-knowledge", "--log", "failures", upstream=upstream.url) as gateway:
        before, idle = resident(gateway), []
        for count in (10, 1000):
            while len(idle) < count:
                idle.append(gateway.connect(receive_buffer=4096))
                idle[-1].sendall(b"GET /endless HTTP/1.1\r\nhost: site.example\r\n\r\n")
            for connection in idle:
                connection.recv(1)
            time.sleep(1)
            with gateway.connect() as reader:
                reader.sendall(b"GET /endless HTTP/1.1\r\nhost: site.example\r\n\r\n")
                read = 0
                while read < 2_000_000 and (part := reader.recv(1 << 16)):
                    read += len(part)
            row(f"beside {count} clients that do not read", "2 MB, 200 -, 1 connection", f"{read // 1_000_000} MB, {kind_of(ask(gateway))}, {upstream.connections} connection")
            print(f"shown  they cost {(resident(gateway) - before) / count / 1024:.0f} KiB each, with the upstream's window of 256 KiB")
        for connection in idle:
            connection.close()

    def few(state, stream, path, _):
        if path == "/long":
            state.send_headers(stream, [(":status", "200"), ("content-type", "text/event-stream")])
        else:
            answer2(state, stream)

    upstream = Upstream2(few, {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    with Gateway("--http2-prior-knowledge", upstream=upstream.url) as gateway:
        ask(gateway)
        long = [gateway.connect() for _ in range(2)]
        for connection in long:
            connection.sendall(b"GET /long HTTP/1.1\r\nhost: site.example\r\n\r\n")
            connection.recv(4096)
        seen = []
        waiting = [threading.Thread(target=lambda: seen.append(kind_of(ask(gateway)))) for _ in range(5)]
        for one in waiting:
            one.start()
        for one in waiting:
            one.join()
        row("no stream is left", "503 connection_limit_reached x 5", f"{seen[0]} x {seen.count(seen[0])}")
        # hyper has handed one of them over, which is opened all the same when there is a stream.
        row("nothing is promised of them", 0, logs(gateway, "connection_limit_reached").count('retry_safety="not_sent"'))
        long[0].close()
        deadline = time.monotonic() + PATIENCE
        while (last := kind_of(ask(gateway))) != "200 -" and time.monotonic() < deadline:
            pass
        row("one is left again", "200 -", last)

    # The connection goes while requests wait for a stream on it.
    upstream = Upstream2(few, {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    with Gateway("--http2-prior-knowledge", upstream=upstream.url) as gateway:
        ask(gateway)
        with gateway.connect() as long:
            long.sendall(b"GET /long HTTP/1.1\r\nhost: site.example\r\n\r\n")
            long.recv(4096)
            seen = []
            post = {"method": "POST", "fields": "content-length: 5\r\n", "content": b"order"}
            waiting = [threading.Thread(target=lambda options=options: seen.append(kind_of(ask(gateway, **options)))) for options in (post, {}, post, {})]
            for one in waiting:
                one.start()
            time.sleep(0.5)
            upstream.cut()
            for one in waiting:
                one.join()
        lawful = {"502 connection_terminated", "503 destination_unavailable", "200 -"}
        row("a connection that goes while requests wait for it", "no fault of the gateway", "no fault of the gateway" if set(seen) <= lawful else str(seen))

    count = []

    def serve(connection, head):
        count.append(1)
        keeps()(connection, head)

    upstream = Upstream(serve)
    with Gateway("--pool-age", "300ms", upstream=upstream.url) as gateway:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            ask(gateway)
        row("--pool-age 300ms: connections in 2 s", "3 and more, 10 at most", "3 and more, 10 at most" if 3 <= len(count) <= 10 else str(len(count)))


def resident(gateway):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{gateway.process.pid}/status").read())[1]) * 1024


def repeated_requests():
    # Breaks the connection of the first attempt of each request, when it has read it.
    attempts = []

    def breaks(connection, head):
        attempts.append(head.split()[0].decode())
        if len(attempts) % 2 == 1:
            return
        answer_ok(connection, head)

    for options, method, expected in [
        (["--retry"], "GET", "200 -, 2 attempts"),
        (["--retry"], "POST", "502 connection_terminated, 1 attempts"),
        ([], "GET", "502 connection_terminated, 1 attempts"),
    ]:
        attempts.clear()
        with Gateway(*options, upstream=Upstream(breaks).url) as gateway:
            seen = kind_of(ask(gateway, method=method))
            row(f"{method}, connection broken, {' '.join(options) or 'without --retry'}", expected, f"{seen}, {len(attempts)} attempts")

    # Refuses streams, as a server does that is at its end.
    for options, expected in [(["--retry"], "200 -"), ([], "503 destination_unavailable")]:
        asked = []

        def refuses(state, stream, path, _):
            asked.append(path)
            if len(asked) == 1:
                state.reset_stream(stream, 7)
            else:
                answer2(state, stream)

        with Gateway("--http2-prior-knowledge", *options, upstream=Upstream2(refuses).url) as gateway:
            row(f"POST, REFUSED_STREAM, {' '.join(options) or 'without --retry'}", expected, kind_of(ask(gateway, method="POST", fields="content-length: 5\r\n", content=b"order")))


def the_end():
    upstream = Upstream(answer_ok)
    port = free_port()
    with Gateway("--admin", f"127.0.0.1:{port}", "--notice", "5s", upstream=upstream.url) as gateway:
        start = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        while (ready := status_of(probe(port, "/-/ready"))) == "200" and time.monotonic() < start + PATIENCE:
            time.sleep(0.05)
        row("after SIGTERM", "503 on --admin, 200 for clients", f"{ready} on --admin, {status_of(ask(gateway))} for clients")
        gateway.process.wait(PATIENCE)
        row("it ends after its notice of 5 s", "exit 0, not before", f"exit {gateway.process.returncode}, {'not before' if time.monotonic() - start >= 5 else 'before'}")
    with Gateway("--notice", "1h", upstream=upstream.url) as gateway:
        row("after Ctrl-C there is no notice", 0, gateway.end(by=signal.SIGINT))
    # Two gateways, each the upstream of the other, neither with a name of its own.
    first, second = free_port(), free_port()
    with Gateway("--listen", f"127.0.0.1:{first}", upstream=f"http://127.0.0.1:{second}") as gateway:
        with Gateway("--listen", f"127.0.0.1:{second}", upstream=f"http://127.0.0.1:{first}"):
            row("a loop of two without names", "502 proxy_loop_detected", kind_of(ask(gateway)))
    if not shutil.which("prlimit"):
        print("skipped: descriptors, there is no prlimit")
        return
    # Of six descriptors three are for clients, and three for the upstream, of which one client by HTTP/2 asks for four.
    asked = threading.Semaphore(0)

    def never(connection, _):
        asked.release()
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            connection.recv(1)

    with Gateway("--max-connections", "100", upstream=Upstream(never).url, descriptors=206) as gateway:
        client = Client2(gateway)
        for _ in range(3):
            client.ask("/")
            asked.acquire(timeout=PATIENCE)
        row("no descriptor is left for the upstream", "503", client.status("/"))
        row("and the log says what is missing", True, "no descriptors for another connection" in logs(gateway, "for another connection"))
        row("a line says that there are not so many", True, "for so many asked=100 clients=3" in logs(gateway, "--max-connections"))


def a_silent_resolver():
    """In a network of its own, where a name server takes questions and never answers: see `resolver` below."""
    if os.geteuid() or not all(map(shutil.which, ("unshare", "ip", "mount"))):
        print("skipped: a silent resolver, that needs root, unshare, ip and mount")
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, text in [
            ("resolv.conf", "nameserver 127.0.0.53\noptions timeout:30 attempts:5\n"),
            ("hosts", "127.0.0.1 localhost\n"),
            ("nsswitch.conf", "hosts: files dns\n"),
        ]:
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)
        mounts = "; ".join(f"mount --bind {folder}/{name} /etc/{name}" for name in ("resolv.conf", "hosts", "nsswitch.conf"))
        script = f'set -e; ip link set lo up; {mounts}; exec "$@"'
        arguments = [sys.executable, os.path.abspath(__file__), sys.argv[1], "resolver"]
        seen = subprocess.run(["unshare", "-m", "-n", "sh", "-c", script, "sh", *arguments], capture_output=True, text=True)
        print(seen.stdout, end="")
        if seen.returncode:
            wrong.append("a silent resolver")
            print(seen.stderr)


def resolver():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.53", 53))
        with Gateway("--drain", "300ms", upstream="http://shop.example:80") as gateway:
            row("a resolver that does not answer", "504 dns_timeout", kind_of(ask(gateway)))
            row("the end does not wait for it", 0, gateway.end())


if sys.argv[2:] == ["resolver"]:
    resolver()
    sys.exit(bool(wrong))

class Stalled:
    """An upload of more than the system takes, to an upstream that does not read until it is told to."""

    SIZE = 20_000_000

    def __init__(self, *options):
        self.has_begun, self.may_read, self.read = threading.Event(), threading.Event(), 0
        self.gateway = Gateway(*options, upstream=Upstream(self.serve).url)
        self.before = self.sockets()
        self.client = self.gateway.connect()
        self.client.sendall(b"POST / HTTP/1.1\r\nhost: site.example\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % self.SIZE)
        self.upload = threading.Thread(target=self.send, daemon=True)
        self.upload.start()
        self.has_begun.wait(PATIENCE)

    def serve(self, connection, head):
        self.read = len(head.split(b"\r\n\r\n", 1)[1])
        self.has_begun.set()
        self.may_read.wait(600)
        while self.read < self.SIZE and (part := connection.recv(65536)):
            self.read += len(part)
        answer_ok(connection, head)

    def send(self):
        with contextlib.suppress(OSError):
            self.client.settimeout(600)
            self.client.sendall(b"x" * self.SIZE)

    def sockets(self):
        """Of the gateway."""
        pid = self.gateway.process.pid
        links = [os.readlink(f"/proc/{pid}/fd/{one}") for one in os.listdir(f"/proc/{pid}/fd")]
        return sum(link.startswith("socket:") for link in links)


# An upstream may pause, where there is no limit; and one that takes nothing for longer than a head may take, and 30 s, is let go.
paused, dropped = Stalled("--head-timeout", "0s", "--upload-timeout", "0s", "--send-timeout", "0s"), Stalled("--head-timeout", "300ms")
dropped.client.shutdown(socket.SHUT_RDWR)
dropped.client.close()

# Load balancers keep connections for a minute.
kept = Gateway(upstream=Upstream(keeps()).url)
idle, since = kept.connect(), time.monotonic()
idle.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n")
idle.recv(4096)
for part in (clients_at_rest, too_many_clients, fields, what_is_sent_on, upstreams_over_http2, repeated_requests, the_end, a_silent_resolver):
    print(f"== {part.__name__.replace('_', ' ')}", flush=True)
    part()
time.sleep(max(0, since + 61 - time.monotonic()))
idle.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n")
row("a connection that was at rest for a minute", "200", status_of(idle.recv(4096)))
kept.end()
paused.may_read.set()
paused.client.settimeout(PATIENCE)
row("an upload whose upstream pauses for a minute", f"200 of {Stalled.SIZE}", f"{status_of(rest(paused.client)[0])} of {paused.read}")
row("connections left of a call that was given up, of an upstream that takes nothing", 0, dropped.sockets() - dropped.before)
for one in (paused, dropped):
    one.may_read.set()
    one.gateway.end()
print(f"{len(wrong)} wrong" + "".join(f"\n  {name}" for name in wrong))
sys.exit(bool(wrong))
