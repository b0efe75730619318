"""See scripts/retries.

    retries.py GATEWAY      retries.py upstream PORT FILE     an upstream that appends the number of each order to the file
"""

import asyncio
import collections
import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

IN_FLIGHT, SECONDS, RATE = 200, 12, 2000
wrong = []


def row(name, is_right, seen):
    print(f"{'ok    ' if is_right else 'WRONG '} {name:64} {seen}", flush=True)
    if not is_right:
        wrong.append(name)


async def upstream(port, orders):
    """Answers after a tenth of a second. When it is told to end it accepts no more, and goes on with what there is until it is killed."""

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    # It is processed as soon as it is here: what comes twice counts twice.
                    os.write(orders, head.split()[1] + b"\n")
                await asyncio.sleep(0.1)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    await asyncio.Event().wait()


if sys.argv[1] == "upstream":
    asyncio.run(upstream(int(sys.argv[2]), os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND)))


class Upstream:
    def __init__(self, orders):
        # Whether it gets new connections.
        self.orders, self.is_listed = orders, True
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()

    def start(self):
        self.process = subprocess.Popen([sys.executable, __file__, "upstream", str(self.port), self.orders])

    def kill(self):
        self.process.kill()
        self.process.wait()


async def balancer(upstreams):
    """Gives each connection to the next upstream that is listed."""
    turns = itertools.cycle(upstreams)

    async def copy(reader, writer):
        with contextlib.suppress(OSError):
            while part := await reader.read(65536):
                writer.write(part)
                await writer.drain()
        writer.transport.abort()

    async def serve(reader, writer):
        try:
            listed = next(one for one in turns if one.is_listed)
            there, back = await asyncio.open_connection("127.0.0.1", listed.port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(copy(reader, back), copy(there, writer))

    return await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1000)


@contextlib.contextmanager
def gateway(port, *options):
    command = [sys.argv[1], "--listen", "127.0.0.1:0", "--notice", "0s", "--log", "off", "--upstream", f"http://127.0.0.1:{port}", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield int(re.search(rb":(\d+)$", process.stdout.readline().strip())[1])
    finally:
        process.kill()
        process.wait()


async def ask(connection, request):
    reader, writer = connection
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
    return int(head[9:12])


async def restart(*options):
    """The statuses of GETs and of orders during a rolling restart, and how many orders were processed twice."""
    seen, numbers = {"GET": collections.Counter(), "POST": collections.Counter()}, itertools.count()
    with tempfile.NamedTemporaryFile() as orders:
        upstreams = [Upstream(orders.name) for _ in range(2)]
        try:
            await asyncio.sleep(1)
            server = await balancer(upstreams)
            with gateway(server.sockets[0].getsockname()[1], *options) as port:
                end = time.monotonic() + SECONDS

                async def client(method):
                    connection = await asyncio.open_connection("127.0.0.1", port)
                    while time.monotonic() < end:
                        length = "content-length: 5\r\n" if method == "POST" else ""
                        request = f"{method} /{next(numbers)} HTTP/1.1\r\nhost: shop\r\n{length}\r\n{'order' if length else ''}"
                        seen[method][await ask(connection, request.encode())] += 1
                    connection[1].close()

                async def rolling():
                    for one in upstreams:
                        await asyncio.sleep(SECONDS / 6)
                        # Drained, and killed with what is still under way on its connections.
                        one.is_listed = False
                        one.process.send_signal(signal.SIGTERM)
                        await asyncio.sleep(0.5)
                        one.kill()
                        await asyncio.sleep(0.5)
                        one.start()
                        await asyncio.sleep(1)
                        one.is_listed = True

                methods = ["GET"] * (IN_FLIGHT * 9 // 10) + ["POST"] * (IN_FLIGHT // 10)
                await asyncio.gather(rolling(), *map(client, methods))
            server.close()
        finally:
            for one in upstreams:
                one.kill()
        processed = collections.Counter(open(orders.name).read().split())
    return seen, sum(count > 1 for count in processed.values()), len(processed)


async def refusing():
    """Attempts a request where every one is reset, at a steady rate."""
    attempts = 0

    async def reset(_, writer):
        nonlocal attempts
        attempts += 1
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.close()

    server = await asyncio.start_server(reset, "127.0.0.1", 0, backlog=1000)
    with gateway(server.sockets[0].getsockname()[1], "--retry") as port:
        start, asked, statuses = time.monotonic(), itertools.count(), collections.Counter()

        async def client():
            connection = await asyncio.open_connection("127.0.0.1", port)
            while (number := next(asked)) < RATE * SECONDS:
                await asyncio.sleep(max(start + number / RATE - time.monotonic(), 0))
                statuses[await ask(connection, b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")] += 1
            connection[1].close()

        await asyncio.gather(*(client() for _ in range(50)))
        took = time.monotonic() - start
    server.close()
    requests = sum(statuses.values())
    return attempts / requests, requests / took, statuses


async def main():
    for options, is_right in [([], lambda failed: failed > 0), (["--retry"], lambda failed: failed == 0)]:
        seen, twice, orders = await restart(*options)
        failed = {method: sum(count for status, count in counts.items() if status != 200) for method, counts in seen.items()}
        name = "with --retry" if options else "without --retry, which has to fail"
        row(f"GETs that failed in a rolling restart, {name}", is_right(failed["GET"]), f"{failed['GET']} of {sum(seen['GET'].values())} {dict(seen['GET'])}")
        row("orders that were processed twice", twice == 0, f"{twice} of {orders}; {failed['POST']} were answered {dict(seen['POST'])}")
    ratio, rate, statuses = await refusing()
    row("attempts a request where all of them break, 1.1 at most", ratio <= 1.1, f"{ratio:.3f} at {rate:.0f} requests a second {dict(statuses)}")
    print(f"{len(wrong)} wrong")
    sys.exit(bool(wrong))


asyncio.run(main())
