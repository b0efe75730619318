"""See scripts/site.

    site.py SITE      site.py upstream PORT
"""

import asyncio
import collections
import contextlib
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

CLIENTS, RATE, STEP = 400, 1000, 4
FOLDER = "examples/site"
# With this rate some 250 are under way.
UPSTREAM_TIME = 0.25
wrong = []


def row(name, is_right, seen):
    print(f"{'ok    ' if is_right else 'WRONG '} {name:72} {seen}", flush=True)
    if not is_right:
        wrong.append(name)


async def upstream(port):
    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(UPSTREAM_TIME)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello")
                await writer.drain()
        writer.close()

    await asyncio.start_server(serve, "127.0.0.1", port, backlog=1000)
    await asyncio.Event().wait()


if sys.argv[1] == "upstream":
    asyncio.run(upstream(int(sys.argv[2])))


# All processes of this script; `kill_all` ends them, whatever has happened.
processes = []


def spawn(*arguments, **options):
    processes.append(subprocess.Popen(arguments, **options))
    return processes[-1]


def kill_all():
    for process in processes:
        process.kill()
        process.wait()


def free_port():
    """One that the system gives to no connection: while the upstream is away, another would take its port."""
    for port in range(20000 + os.getpid() % 10000, 32768):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise SystemExit("no port is free")


class Upstream:
    def __init__(self):
        self.port = free_port()
        self.start()

    def start(self):
        self.process = spawn(sys.executable, __file__, "upstream", str(self.port))
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.01)
        raise SystemExit("the upstream does not start")

    def kill(self):
        self.process.kill()
        self.process.wait()


# The part of the site, what asks for it, and what it has to answer when both upstreams are away.
PARTS = {
    "home": ("GET", "/", "text/html", lambda head, body: b"text/html" in head and b"<h1 " in body and b"{{" not in body),
    "api": ("GET", "/api/orders", "text/html", lambda head, body: b"application/problem+json" in head and json.loads(body)["status"] in (502, 503, 504)),
    "shop": ("GET", "/basket", "text/html", lambda head, body: b"text/html" in head and body == open(f"{FOLDER}/502.html", "rb").read()),
    "order": ("POST", "/api/orders", "*/*", lambda head, body: b"application/problem+json" in head and json.loads(body)["status"] in (502, 503, 504)),
}


async def ask(connection, part):
    method, path, accept, _ = PARTS[part]
    reader, writer = connection
    length = "content-length: 5\r\n" if method == "POST" else ""
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: shop.example\r\naccept: {accept}\r\n{length}\r\n{'order' if length else ''}".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    if length:
        return int(head[9:12]), head, await reader.readexactly(int(length[1]))
    body = b""
    while True:
        size = int(await reader.readline(), 16)
        part = await reader.readexactly(size + 2)
        if not size:
            return int(head[9:12]), head, body
        body += part[:-2]


async def run():
    try:
        first = Upstream()
        second = Upstream()
        log = tempfile.TemporaryFile()
        site = spawn(sys.argv[1], f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}", FOLDER, stdout=subprocess.PIPE, stderr=log)
        async with asyncio.timeout(30):
            line = await asyncio.to_thread(site.stdout.readline)
        port = int(re.search(rb":(\d+)$", line.strip())[1])
        turns = itertools.cycle(PARTS)
        start = time.monotonic()
        end, number = start + 7 * STEP, itertools.count()

        async def client():
            connection = await asyncio.open_connection("127.0.0.1", port)
            while True:
                at = start + next(number) / RATE
                if at >= end:
                    break
                await asyncio.sleep(max(0, at - time.monotonic()))
                part, began = next(turns), time.monotonic()
                try:
                    async with asyncio.timeout(60):
                        status, head, body = await ask(connection, part)
                except (OSError, EOFError, TimeoutError, ValueError) as error:
                    # The first row tells it.
                    lost.append((part, began - start, repr(error)))
                    connection[1].close()
                    connection = await asyncio.open_connection("127.0.0.1", port)
                    continue
                answers.append((part, began - start, time.monotonic() - start, status, status == 200 or PARTS[part][3](head, body)))
            connection[1].close()

        moments = {}

        async def operator():
            for step, what in enumerate(["kill first", "start first", "kill second", "kill both", "start both"], 1):
                await asyncio.sleep(max(0, start + step * STEP - time.monotonic()))
                verb, which = what.split()
                moments[what] = time.monotonic() - start
                for one, name in ((first, "first"), (second, "second")):
                    if which in (name, "both"):
                        if verb == "start":
                            await asyncio.to_thread(one.start)
                        else:
                            one.kill()
                if what == "start both":
                    moments["restored"] = time.monotonic() - start

        await asyncio.gather(operator(), *[client() for _ in range(CLIENTS)])
        await asyncio.sleep(1)
        metrics = await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode())
        return moments, metrics, log
    finally:
        kill_all()


answers, lost = [], []
moments, metrics, log = asyncio.run(run())
log.seek(0)
events = [json.loads(line) for line in log if line.strip()]
failures = [event["fields"] for event in events if "error.type" in event["fields"]]

statuses = collections.Counter(answer[3] for answer in answers)
row("every request has an answer", len(answers) == 7 * STEP * RATE and not lost, f"{len(answers)} {dict(statuses)}" + (f", lost {len(lost)}: {lost[:3]}" if lost else ""))
improper = [answer for answer in answers if not answer[4] or answer[3] not in (200, 502, 503, 504)]
row("every answer is the one that its part of the site gives", not improper, improper[:3])

kills = [moments[name] for name in ("kill first", "kill second", "kill both")]
under_way = lambda answer, kill: answer[1] <= kill <= answer[2]
alive = [a for a in answers if PARTS[a[0]][0] == "GET" and not moments["kill both"] <= a[2] <= moments["restored"] + 2]
apart = [a for a in alive if not any(under_way(a, kill) for kill in kills) and not moments["kill both"] <= a[1] <= moments["restored"]]
served = sum(a[3] == 200 for a in apart)
row("GETs that a live upstream has answered while there was one, 99 % at least", served >= 0.99 * len(apart), f"{served} of {len(apart)}: {100 * served / len(apart):.2f} %")
at_kill = [sum(under_way(a, kill) for a in answers) for kill in kills]
caught = [a for a in answers if any(under_way(a, kill) for kill in kills[:2])]
row("requests that were under way at each kill, 200 at least", min(at_kill) >= 200, f"{at_kill}, of the first two {dict(collections.Counter(a[3] for a in caught))}")
away = [a for a in answers if moments["kill both"] + 1.5 <= a[1] and a[2] < moments["start both"]]
row("nothing is served while both are away", away and not any(a[3] == 200 for a in away), f"{dict(collections.Counter((a[0], a[3]) for a in away))}")
late = [a for a in answers if a[1] >= moments["restored"] + 2 and a[3] != 200]
last = max((a[2] for a in answers if a[3] != 200), default=0) - moments["restored"]
row("the fallback is over two seconds after both are back", not late, f"the last one {last:.2f} s after")

failed = collections.Counter((a[0], a[3]) for a in answers if a[3] != 200)
upstream_of = {"home": "home", "api": "api", "order": "api", "shop": "shop"}
clients = collections.Counter()
for (part, status), count in failed.items():
    clients[upstream_of[part], str(status)] += count
logged = collections.Counter((event["upstream"], str(event["http.response.status_code"])) for event in failures)
row("events in the log are the failures that clients got", logged == clients, f"{dict(logged)}" + ("" if logged == clients else f", clients {dict(clients)}"))
counted = collections.Counter()
fallbacks = collections.Counter()
for name, labels, value in re.findall(r'^(bad_gateway_\w+_total)\{(.*)\} (\d+)$', metrics, re.M):
    labels = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    if name == "bad_gateway_failures_total" and int(value):
        counted[labels["upstream"], labels["status"]] += int(value)
    if name == "bad_gateway_fallbacks_total" and int(value):
        fallbacks[labels["outcome"]] += int(value)
row("and so are those in the metrics", counted == clients, f"{dict(counted)}")
pages = sum(count for (part, _), count in failed.items() if part == "shop")
in_log = collections.Counter(event["fallback"] for event in failures if "fallback" in event)
row("pages of the fallback", fallbacks == in_log == collections.Counter(answered=pages), f"{dict(fallbacks)}")
print(f"{len(wrong)} wrong")
sys.exit(bool(wrong))
