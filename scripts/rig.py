"""Upstreams on sockets, and the example gateway as a child process: what scripts/edge and scripts/steady are made of."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading

GATEWAY = sys.argv[1]
# As long as a busy machine may need; what is expected to run out is set on the command line of the gateway.
PATIENCE = 30
wrong = []


def row(name, expected, got):
    ok = got == expected
    print(f"{'ok    ' if ok else 'WRONG '} {name:58} {got}" + ("" if ok else f"   expected: {expected}"), flush=True)
    if not ok:
        wrong.append(name)


class Upstream:
    """Runs `serve(connection, head)` in a thread for each connection, and notes how many have ended."""

    def __init__(self, serve):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = "http://127.0.0.1:%d" % self.socket.getsockname()[1]
        self.serve, self.ended, self.asked = serve, threading.Semaphore(0), 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        with connection, contextlib.suppress(OSError):
            head = until(connection, b"\r\n\r\n")
            if head:
                self.asked += 1
                self.serve(connection, head)
        self.ended.release()


def until(connection, mark):
    seen = b""
    while mark not in seen:
        part = connection.recv(65536)
        if not part:
            return b""
        seen += part
    return seen


class Gateway:
    def __init__(self, *arguments, upstream, stderr=None, descriptors=None):
        self.log = tempfile.TemporaryFile()
        command = [GATEWAY, "--listen", "127.0.0.1:0", "--notice", "0s", "--upstream", upstream, *arguments]
        if descriptors:
            command = ["prlimit", f"--nofile={descriptors}:{descriptors}", *command]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log if stderr is None else stderr)
        self.port = int(re.search(rb":(\d+)$", self.process.stdout.readline().strip()).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def connect(self, receive_buffer=None):
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def send(self, request):
        """Sends, reads to the end: the bytes, and how it ended."""
        with self.connect() as connection:
            connection.sendall(request)
            return rest(connection)

    def status(self, path="/", method="GET", version="1.1"):
        content = "content-length: 0\r\n" if method == "POST" else ""
        request = f"{method} {path} HTTP/{version}\r\nhost: site.example\r\nconnection: close\r\n{content}\r\n"
        return status_of(self.send(request.encode())[0])

    def lines(self):
        self.log.seek(0)
        return self.log.read().decode()

    def end(self, by=signal.SIGTERM):
        """Asks it to end, and gives its exit status."""
        self.process.send_signal(by)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(PATIENCE)
        return "does not end"


def rest(connection):
    seen = b""
    try:
        while part := connection.recv(65536):
            seen += part
        return seen, "FIN"
    except ConnectionResetError:
        return seen, "RST"
    except TimeoutError:
        return seen, "nothing for %d s" % PATIENCE


def status_of(answer):
    return answer[9:12].decode() or "nothing"


def answer_ok(connection, _):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
