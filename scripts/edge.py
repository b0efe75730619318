"""Clients at the edge of what a gateway is asked to bear: those that leave, that do not read, that send on after their answer, that speak
HTTP/1.0; and logs that nobody reads. Prints a row for each, and fails on a wrong one.

    edge.py GATEWAY [ROUNDS]    the path of the example gateway; how often each upload is tried (20)
"""

import contextlib
import http.client
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

from rig import PATIENCE, Gateway, Upstream, answer_ok, rest, row, status_of, wrong

ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 20


def broken_bodies():
    def serve(connection, head):
        chunked = b"/chunks" in head
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: 10"
        part = b"5\r\nhello\r\n" if chunked else b"hello"
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + part)
        # The reader has seen what came by then, so that a reset takes nothing of it away.
        time.sleep(0.3)

    upstream = Upstream(serve)
    with Gateway(upstream=upstream.url) as gateway:
        for path, version, expected in [
            ("/chunks", "1.0", "RST"),
            ("/length", "1.0", "FIN"),
            ("/chunks", "1.1", "FIN"),
            ("/length", "1.1", "FIN"),
        ]:
            request = f"GET {path} HTTP/{version}\r\nhost: site.example\r\n\r\n"
            seen, end = gateway.send(request.encode())
            whole = seen.endswith(b"0\r\n\r\n") or seen.endswith(b"hellohello")
            row(f"{path} breaks before HTTP/{version}", f"200 {expected}", f"{status_of(seen)} {end}{' WHOLE' if whole else ''}")


    # The gateway ends it by itself: with the drain, or because the client takes nothing for a time.
    def pour(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"4000\r\n" + b"x" * 16384 + b"\r\n")

    upstream = Upstream(pour)
    request = b"GET / HTTP/1.0\r\nhost: site.example\r\n\r\n"
    with Gateway("--send-timeout", "1s", upstream=upstream.url) as gateway, gateway.connect(receive_buffer=4096) as connection:
        connection.sendall(request)
        upstream.ended.acquire(timeout=PATIENCE)
        row("not taken in time, HTTP/1.0", "RST", rest(connection)[1])
    with Gateway("--drain", "300ms", upstream=upstream.url) as gateway, gateway.connect(receive_buffer=4096) as connection:
        connection.sendall(request)
        connection.recv(1)
        gateway.end()
        row("cut by the end of the gateway, HTTP/1.0", "RST", rest(connection)[1])


def clients_that_leave():
    """The upstream never answers: it is let go of as soon as the client has gone, by whatever the client has sent before."""
    ended = threading.Event()

    def serve(connection, _):
        connection.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            connection.recv(1)
            ended.set()

    upstream = Upstream(serve)
    with Gateway("--head-timeout", "0s", upstream=upstream.url) as gateway:
        for name, behind in [("nothing", b""), ("a line", b"\r\n"), ("a byte", b"G"), ("a request", b"GET /2 HTTP/1.1\r\nhost: a\r\n\r\n")]:
            ended.clear()
            with gateway.connect() as connection:
                before = upstream.asked
                connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n" + behind)
                while upstream.asked == before:
                    time.sleep(0.01)
            row(f"a client has left, with {name} behind its request", "let go", "let go" if ended.wait(PATIENCE) else "held")

    over = threading.Event()

    def does_not_read(connection, head):
        over.wait(PATIENCE) if head.startswith(b"POST") else answer_ok(connection, head)

    # Its place shows whether the call is over: the upstream cannot see it before it reads.
    with Gateway("--head-timeout", "0s", "--max-requests", "1", upstream=Upstream(does_not_read).url) as gateway:
        with gateway.connect() as connection:
            # More than is read ahead, and not more than the system takes: the end has to come through.
            connection.sendall(b"POST / HTTP/1.1\r\nhost: site.example\r\ncontent-length: 900000000\r\n\r\n" + b"x" * (2 << 20))
            end = time.monotonic() + PATIENCE
            while gateway.status() != "503" and time.monotonic() < end:
                time.sleep(0.01)
        end = time.monotonic() + PATIENCE
        while (status := gateway.status()) == "503" and time.monotonic() < end:
            time.sleep(0.1)
        row("a client has left, in an upload that is not taken", "its place is free", "its place is free" if status == "200" else status)
        over.set()


def clients_that_do_not_read():
    let_go = threading.Event()

    def serve(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n")
        connection.settimeout(PATIENCE)
        try:
            while True:
                connection.sendall(b"x" * 65536)
        except TimeoutError:
            pass
        except OSError:
            let_go.set()

    def beats(connection, _):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            connection.sendall(b"data: x\n\n")
            time.sleep(0.2)

    upstream = Upstream(lambda connection, head: (beats if b"/beats" in head else serve)(connection, head))
    with Gateway("--send-timeout", "2s", upstream=upstream.url) as gateway:
        with gateway.connect(receive_buffer=4096) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n")
            row("HTTP/1.1, reads nothing", "let go", "let go" if let_go.wait(PATIENCE) else "held")
        let_go.clear()
        with gateway.connect() as connection:
            # SETTINGS with an initial window of 0, and a request.
            block = b"\x82\x86\x84\x41\x01a"
            settings = struct.pack(">HI", 4, 0)
            frame = lambda kind, flags, stream, payload: struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, settings) + frame(1, 5, 1, block))
            ended = "let go" if let_go.wait(PATIENCE) else "held", rest(connection)[1]
            row("HTTP/2, opens no window", ("let go", "FIN"), ended)
        let_go.clear()
        with gateway.connect() as connection:
            # The second stream has a window, and its reader reads.
            beating = b"\x82\x86\x04\x06/beats\x41\x01a"
            opened = frame(8, 0, 3, struct.pack(">I", 1 << 20))
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, settings) + frame(1, 5, 1, block) + frame(1, 5, 3, beating) + opened)
            connection.settimeout(0.5)
            beats_seen, last, end = 0, b"", time.monotonic() + PATIENCE
            while time.monotonic() < end and not (let_go.is_set() and beats_seen > 25):
                with contextlib.suppress(TimeoutError):
                    last = connection.recv(65536)
                    beats_seen += last.count(b"data: x")
            row("HTTP/2, one stream stalls beside one that is read", ("let go", "served"), ("let go" if let_go.is_set() else "held", "served" if beats_seen > 25 else "ended"))
        let_go.clear()
        with gateway.connect(receive_buffer=4096) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\n\r\n")
            end = time.monotonic() + 8
            read = 0
            while time.monotonic() < end:
                read += len(connection.recv(4096))
                time.sleep(0.05)
            row("HTTP/1.1, reads slowly for four times the limit", "served", "let go" if let_go.is_set() else "served")


def logs_that_cannot_be_written():
    upstream = Upstream(answer_ok)

    def tried(name, stderr, then, *arguments, calls=3):
        upstream.asked = 0
        with Gateway(*arguments, upstream=upstream.url, stderr=stderr) as gateway:
            then()
            seen = {gateway.status(method=("GET", "POST")[number % 2]) for number in range(calls)}
            probes = gateway.status("/-/live"), gateway.status("/-/ready")
            row(f"log: {name} {' '.join(arguments)}".rstrip(), (["200"], ("200", "200"), calls, 0), (sorted(seen), probes, upstream.asked, gateway.end()))

    for arguments in [(), ("--quiet",), ("--log", "off")]:
        reader, writer = os.pipe()
        tried("its reader is gone", writer, lambda: (os.close(writer), os.close(reader)), *arguments)
        with open("/dev/full", "wb") as full:
            tried("its disk is full", full, lambda: None, *arguments)
    reader, writer = os.pipe()
    # Three hundred lines fill a pipe, and 6000 more the queue.
    tried("nobody empties its pipe", writer, lambda: None, calls=8000)
    os.close(reader), os.close(writer)
    with Gateway(upstream=upstream.url, stderr=subprocess.STDOUT) as gateway:
        for _ in range(8000):
            gateway.status()
        row("log: nobody empties its pipe, which is that of stdout too", (0, "200"), (gateway.status("/-/live"), gateway.end())[::-1])

    refusing = "http://127.0.0.1:1"
    for arguments, expected in [((), (1, 1)), (("--quiet",), (1, 0)), (("--log", "failures"), (1, 0)), (("--log", "off"), (0, 0))]:
        with Gateway(*arguments, upstream=refusing) as gateway:
            gateway.status()
            gateway.end()
            lines = gateway.lines()
            got = lines.count(" WARN tower_bad_gateway: "), lines.count(" INFO access: ")
            row(f"log: failures and requests in it {' '.join(arguments)}".rstrip(), expected, got)


SIZES = {"64 KiB": 64 << 10, "1 MiB": 1 << 20, "10 MiB": 10 << 20}


def by_socket(port, size, is_chunked, is_slow):
    """Sends all of it, whatever comes meanwhile, and reads then: the least that a client can do."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        framing = "transfer-encoding: chunked" if is_chunked else f"content-length: {size}"
        try:
            connection.sendall(f"POST / HTTP/1.1\r\nhost: site.example\r\n{framing}\r\n\r\n".encode())
            for _ in range(size // 16384):
                connection.sendall(b"4000\r\n" + b"x" * 16384 + b"\r\n" if is_chunked else b"x" * 16384)
                if is_slow:
                    time.sleep(0.02)
            if is_chunked:
                connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass
        try:
            return status_of(connection.recv(65536))
        except OSError as error:
            return type(error).__name__


def by_http_client(port, size, is_chunked, is_slow):
    def parts():
        for _ in range(size // 16384):
            yield b"x" * 16384
            if is_slow:
                time.sleep(0.02)

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        headers = {} if is_chunked else {"content-length": str(size)}
        connection.request("POST", "/", parts(), headers, encode_chunked=is_chunked)
        return str(connection.getresponse().status)
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()


NODE = """
const [port, size, chunked, slow] = process.argv.slice(1).map(Number);
const headers = chunked ? {} : {'content-length': size};
const request = require('http').request({port, host: '127.0.0.1', method: 'POST', path: '/', headers});
const part = Buffer.alloc(16384, 'x');
let left = size / 16384, over = false;
const end = word => { if (!over) { over = true; console.log(word); process.exit(0); } };
request.on('response', response => end(response.statusCode)).on('error', error => end(error.code));
const next = () => { if (over) return; if (left-- <= 0) return request.end(); request.write(part, () => slow ? setTimeout(next, 20) : setImmediate(next)); };
next();
"""


def by_node(port, size, is_chunked, is_slow):
    arguments = ["node", "-e", NODE, "--", str(port), str(size), str(int(is_chunked)), str(int(is_slow))]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60).stdout.strip() or "nothing"


def by_curl(port, size, is_chunked, is_slow):
    framing = ["-H", "transfer-encoding: chunked"] if is_chunked else []
    slow = ["--limit-rate", "800K"] if is_slow else []
    arguments = ["curl", "-q", "--noproxy", "*", "-sS", "-o", os.devnull, "-w", "%{http_code}", "-m", "60", "-H", "expect:", *framing, *slow, "--data-binary", "@-"]
    done = subprocess.run([*arguments, f"http://127.0.0.1:{port}/"], input=b"x" * size, capture_output=True, timeout=90)
    return done.stdout.decode() if done.returncode == 0 else f"curl {done.returncode}"


def uploads():
    """Answered at once by us (502), or by the upstream before it has read anything (413)."""

    def refuse(connection, _):
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        # It reads on itself, so that what is seen is of the gateway alone.
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(2)
        while connection.recv(65536):
            pass

    clients = {"socket": by_socket, "http.client": by_http_client}
    clients.update({"node": by_node} if shutil.which("node") else {})
    clients.update({"curl": by_curl} if shutil.which("curl") else {})
    for status, upstream in [("502", "http://127.0.0.1:1"), ("413", Upstream(refuse).url)]:
        with Gateway("--quiet", upstream=upstream) as gateway:
            for name, client in clients.items():
                for size in SIZES:
                    for is_chunked in (False, True):
                        for is_slow in (False, True):
                            # What takes long is tried less often, and what the bound does not let through is only shown.
                            bound = size == "64 KiB"
                            rounds = ROUNDS if bound else 3
                            if is_slow and size == "10 MiB":
                                continue
                            seen = [client(gateway.port, SIZES[size], is_chunked, is_slow) for _ in range(rounds)]
                            counts = ", ".join(f"{one} x {seen.count(one)}" for one in sorted(set(seen)))
                            title = f"{status} to {name}, {size}, {'chunks' if is_chunked else 'length'}, {'slow' if is_slow else 'fast'}"
                            if bound:
                                row(title, f"{status} x {rounds}", counts)
                            else:
                                print(f"shown  {title:58} {counts}", flush=True)
            if status == "502":
                row("what may be sent after an early answer", "502 FIN, a bounded part", read_on_after(gateway, False))
                row("the same, 100-continue was never sent", "502 FIN, nothing to speak of", read_on_after(gateway, True))
    # What hyper itself refuses: a head that is too large, sent slowly.
    with Gateway("--quiet", upstream="http://127.0.0.1:1") as gateway, gateway.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: site.example\r\nx: ")
        try:
            for _ in range(40):
                connection.sendall(b"x" * 16384)
                time.sleep(0.02)
        except OSError:
            pass
        row("a head that is too large, sent slowly", "431", status_of(rest(connection)[0]))


def read_on_after(gateway, expect):
    """How much a client may send after it was answered early, before its connection is reset."""
    with gateway.connect() as connection:
        fields = b"expect: 100-continue\r\n" if expect else b""
        connection.sendall(b"POST / HTTP/1.1\r\nhost: site.example\r\ncontent-length: 900000000\r\n" + fields + b"connection: close\r\n\r\n")
        seen, end = rest(connection)
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 1 << 20:
                sent += connection.send(b"x" * 1024)
                time.sleep(0.002)
        return f"{status_of(seen)} {end}, " + ("nothing to speak of" if sent <= 16 << 10 else "a bounded part" if sent < 1 << 20 else "all")


for part in (broken_bodies, clients_that_leave, clients_that_do_not_read, logs_that_cannot_be_written, uploads):
    print(f"== {part.__name__.replace('_', ' ')}", flush=True)
    part()
print(f"{len(wrong)} wrong" + "".join(f"\n  {name}" for name in wrong))
sys.exit(bool(wrong))
