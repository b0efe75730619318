"""See scripts/soak.

    soak.py GATEWAY [MINUTES]      soak.py upstream PORT     the upstream, a process of its own, so that it can be killed
"""

import asyncio
import collections
import contextlib
import itertools
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

PATIENCE = 30
LIMITS = ["--head-timeout", "2s", "--idle-timeout", "2s", "--send-timeout", "2s", "--upload-timeout", "2s", "--connect-timeout", "1s", "--keep-alive", "5s"]


async def upstream(port):
    """Does what the first part of the path says."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                act = head.split(b"/", 2)[1].split(b" ")[0].decode()
                if act == "early":
                    writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                    await writer.drain()
                    break
                if length := re.search(rb"(?i)content-length: (\d+)", head):
                    await reader.readexactly(int(length[1]))
                if act == "ok":
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n" + b"x" * 1024)
                elif act == "chunks":
                    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 20 + b"0\r\n\r\n")
                elif act == "big":
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n" + b"x" * 1048576)
                elif act == "endless":
                    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                    while True:
                        writer.write(b"4000\r\n" + b"x" * 16384 + b"\r\n")
                        await writer.drain()
                elif act == "slow":
                    await reader.read(1)
                elif act == "stall":
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nten bytes!")
                    await reader.read(1)
                elif act == "cut":
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nten bytes!")
                    break
                elif act == "garbage":
                    writer.write(b"220 mail.example\r\n\r\n")
                    break
                elif act == "reset":
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    break
                else:
                    break
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 20) as server:
        await server.serve_forever()


if sys.argv[1] == "upstream":
    asyncio.run(upstream(int(sys.argv[2])))

GATEWAY, MINUTES = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 15
numbers, ledger, sent, wrong = itertools.count(1), {}, set(), []
tally = collections.Counter()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def row(name, is_right, seen):
    print(f"{'ok    ' if is_right else 'WRONG '} {name:58} {seen}", flush=True)
    if not is_right:
        wrong.append(name)


def path_of(act):
    path = f"/{act}/{next(numbers)}"
    sent.add(path)
    return path


def head(path, method="GET", fields=""):
    return f"{method} {path} HTTP/1.1\r\nhost: site.example\r\n{fields}\r\n".encode()


async def answer(reader):
    """The status of one answer, once all of it is there or has broken off."""
    fields = await reader.readuntil(b"\r\n\r\n")
    status = int(fields[9:12])
    try:
        if length := re.search(rb"(?i)\r\ncontent-length: (\d+)", fields):
            await reader.readexactly(int(length[1]))
        else:
            await reader.readuntil(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        tally["broken bodies seen by clients"] += 1
        return status, False
    return status, b"connection: close" not in fields.lower()


async def orderly(port):
    """Asks a few times on one connection, and reads all of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 21)
    for act in random.choices(ACTS, weights=WEIGHTS, k=random.randint(1, 6)):
        path = path_of(act)
        content = b"x" * random.choice([10, 5000, 100_000]) if random.random() < 0.1 and act == "ok" else b""
        writer.write(head(path, "POST", f"content-length: {len(content)}\r\n") + content if content else head(path))
        await writer.drain()
        status, goes_on = await answer(reader)
        ledger[path] = status
        if not goes_on:
            break
    writer.close()


async def pipelining(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 21)
    paths = [path_of(act) for act in ("ok", "chunks", "ok")]
    writer.write(b"".join(head(path) for path in paths))
    for path in paths:
        ledger[path], goes_on = await answer(reader)
        if not goes_on:
            break
    writer.close()
    tally["pipelined"] += 1


async def vanishing(port):
    """Leaves before the head, in the middle of the body, or in the middle of an upload."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    kind = random.choice(["head", "body", "upload"])
    if kind == "upload":
        writer.write(head(path_of("ok"), "POST", "content-length: 100000\r\n") + b"x" * 1000)
    else:
        writer.write(head(path_of("slow" if kind == "head" else "big")))
    await writer.drain()
    await asyncio.sleep(random.uniform(0.02, 0.3))
    if random.random() < 0.5:
        writer.transport.abort()
    writer.close()
    tally["vanished"] += 1


async def deaf(port):
    """Does not read: the gateway ends that after its --send-timeout. The client cannot see it, since what was sent before stands in the way."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    with connection:
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await loop.sock_sendall(connection, head(path_of("endless")))
        await asyncio.sleep(6)
    tally["deaf"] += 1


async def stalling(port):
    """Stalls in the middle of an upload: 408."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = path_of("ok")
    writer.write(head(path, "POST", "content-length: 100000\r\n") + b"x" * 1000)
    ledger[path], _ = await answer(reader)
    writer.close()
    tally["stalled"] += 1


async def early(port):
    """Is answered before it has sent all, and sends on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path = path_of("early")
    writer.write(head(path, "POST", "content-length: 60000\r\n"))
    for _ in range(6):
        writer.write(b"x" * 10_000)
        await asyncio.sleep(0.01)
    ledger[path], _ = await answer(reader)
    writer.close()


ACTS = ["ok", "chunks", "big", "slow", "stall", "cut", "garbage", "reset", "eof"]
WEIGHTS = [60, 15, 4, 1, 1, 2, 2, 2, 2]
CLIENTS = [(orderly, 24), (pipelining, 2), (vanishing, 3), (deaf, 2), (stalling, 2), (early, 1)]


async def client(what, port, end):
    while time.monotonic() < end:
        try:
            await asyncio.wait_for(what(port), PATIENCE)
        except (ConnectionError, asyncio.IncompleteReadError):
            # Without an answer: the log has to say of each of them why.
            tally["no answer"] += 1
        except asyncio.TimeoutError:
            tally["no end"] += 1
        await asyncio.sleep(random.uniform(0.05, 0.25))


async def restarting(port, end):
    while True:
        process = subprocess.Popen([sys.executable, __file__, "upstream", str(port)])
        try:
            await asyncio.sleep(min(random.uniform(8, 12), max(end - time.monotonic(), 0)))
        finally:
            process.kill()
            process.wait()
        if time.monotonic() >= end:
            return
        tally["restarts"] += 1
        await asyncio.sleep(0.3)


async def get(port, path):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(path))
    seen = await reader.read()
    writer.close()
    return seen.decode()


async def probing(port, end):
    while time.monotonic() < end:
        for path in ("/-/live", "/-/ready"):
            try:
                seen = await asyncio.wait_for(get(port, path), 5)
            except (OSError, asyncio.TimeoutError):
                seen = ""
            tally["probes answered" if seen.startswith("HTTP/1.1 200") else "probes not answered"] += 1
        await asyncio.sleep(0.5)


def resident(process):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{process.pid}/status").read())[1])


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


async def watching(process, end, samples):
    while time.monotonic() < end:
        samples.append((time.monotonic(), resident(process), descriptors(process)))
        await asyncio.sleep(2)


async def main():
    behind, admin = free_port(), free_port()
    log = tempfile.TemporaryFile()
    command = [GATEWAY, "--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{admin}", "--upstream", f"http://127.0.0.1:{behind}", "--notice", "0s", *LIMITS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        port = int(re.search(rb":(\d+)$", process.stdout.readline().strip())[1])
        await get(admin, "/-/live")
        at_rest = descriptors(process)
        start = time.monotonic()
        end, samples = start + MINUTES * 60, []
        clients = [client(what, port, end) for what, count in CLIENTS for _ in range(count)]
        await asyncio.gather(*clients, restarting(behind, end), probing(admin, end), watching(process, end, samples))

        # What is over is over when its limits have run out.
        deadline = time.monotonic() + PATIENCE
        while (now := descriptors(process)) > at_rest and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        metrics = await get(admin, "/metrics")
        process.send_signal(signal.SIGTERM)
        exited = process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
    log.seek(0)
    judge(log.read().decode(), metrics, samples, start, at_rest, now, exited)


def judge(lines, metrics, samples, start, at_rest, now, exited):
    found = re.findall(r'INFO access: ([a-z ]+?) client=\S+ request="\w+ (\S+) HTTP[^"]*"(?: status=(\d+))?(?: failure="(\w+)")?', lines)
    by_path = collections.defaultdict(list)
    for end, path, status, failure in found:
        by_path[path].append((int(status), end, failure))
    different = [(path, status, by_path[path]) for path, status in ledger.items() if [one[0] for one in by_path[path]] != [status]]
    row("answers at clients, and a line of the same status for each", not different, f"{len(ledger)}, {len(different)} differ {different[:3]}")
    twice = [path for path, those in by_path.items() if len(those) > 1]
    row("requests with two lines", not twice, f"{len(twice)} {twice[:3]}")
    foreign = [path for path in by_path if path not in sent]
    row("lines of no request", not foreign, f"{len(foreign)} {foreign[:3]}")
    counted = {int(status): int(count) for status, count in re.findall(r'gateway_requests_total\{status="(\d+)"\} (\d+)', metrics)}
    logged = collections.Counter(one[0] for those in by_path.values() for one in those)
    row("counters, and as many lines by status", counted == dict(logged), f"{counted}" if counted == dict(logged) else f"{counted} {dict(logged)}")
    dropped = re.search(r"gateway_log_lines_dropped_total (\d+)", metrics)
    row("lines that the log had no room for", dropped and dropped[1] == "0", dropped and dropped[1])

    seen = collections.Counter(failure for those in by_path.values() for _, _, failure in those if failure)
    seen.update(end for those in by_path.values() for _, end, _ in those if end != "complete")
    seen.update({name: tally[name] for name in ("pipelined", "vanished", "deaf", "stalled", "restarts")})
    needed = ["connection_refused", "connection_terminated", "http_protocol_error", "http_response_timeout", "http_request_error", "cut off", "left by the client", "not taken by the client", "pipelined", "vanished", "deaf", "stalled", "restarts"]
    least = 50 * min(MINUTES / 15, 1)
    row(f"faults, each {least:.0f} times at least", all(seen[name] >= least for name in needed), ", ".join(f"{name} {seen[name]}" for name in sorted(seen)))
    row("what clients have seen without an end", tally["no end"] == 0, f"{tally['no end']}; without an answer {tally['no answer']}, broken bodies {tally['broken bodies seen by clients']}")
    row("probes not answered", tally["probes not answered"] == 0, f"{tally['probes not answered']} of {tally['probes answered'] + tally['probes not answered']}")

    # From the moment on when all has been seen once.
    settled = [(at - start, kilobytes) for at, kilobytes, _ in samples if at - start > min(180, MINUTES * 20)]
    slope = statistics.linear_regression(*zip(*settled)).slope * 60
    typical = statistics.median(kilobytes for _, kilobytes in settled)
    row("memory, its slope less than a hundredth a minute", slope < typical / 100, f"{typical / 1024:.1f} MiB, {slope:+.0f} KiB a minute")
    row("descriptors, back where they were", now <= at_rest, f"{at_rest} before, {max(one[2] for one in samples)} at most, {now} after")
    row("exit status after SIGTERM", exited == 0, exited)
    print(f"{len(wrong)} wrong")
    sys.exit(bool(wrong))


asyncio.run(main())
