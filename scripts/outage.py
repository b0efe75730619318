"""What clients and operators see in an outage, with real programs side by side: see scripts/outage."""

import asyncio, json, os, re, signal, subprocess, sys, tempfile, time

GATEWAY, METRICS, SCRATCH = sys.argv[1:4]
NGINX, HAPROXY = "/etc/nginx/nginx.conf", "/etc/haproxy/haproxy.cfg"
CLIENTS = 100
rows, wrong = 0, 0


def row(name, seen, expected, right=None):
    global rows, wrong
    rows += 1
    right = seen == expected if right is None else right
    wrong += not right
    print(f"{'ok   ' if right else 'WRONG'}  {name:<64} {seen}" + ("" if right else f"\n       expected: {expected}"), flush=True)


class Upstream:
    """Silent but for /late, which answers after 40 s, and /ws, which switches protocols and echoes."""

    def __init__(self):
        self.asked = 0

    async def start(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=2000)
        self.port = server.sockets[0].getsockname()[1]
        return self

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                target = head.split(b" ")[1]
                if target == b"/ws":
                    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
                    while data := await reader.read(1024):
                        writer.write(data)
                elif target == b"/late":
                    await asyncio.sleep(40)
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate")
                else:
                    await reader.read()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Program:
    """A gateway or a hop in front, with its log in a file; ended by its own process number."""

    running = []

    def __init__(self, name, arguments):
        self.log = os.path.join(SCRATCH, f"{name}.log")
        self.out = os.path.join(SCRATCH, f"{name}.out")
        with open(self.log, "wb") as log, open(self.out, "wb") as out:
            self.process = subprocess.Popen(arguments, stdout=out, stderr=log)
        self.running.append(self)

    async def port(self, pattern=r"http://127\.0\.0\.1:(\d+)"):
        for _ in range(300):
            if found := re.search(pattern, open(self.out).read()):
                return int(found[1])
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.1)
        raise SystemExit(f"{self.process.args[0]} did not start: {open(self.log).read()}")

    def cpu(self):
        """In seconds, of all its threads."""
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.running.remove(self)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return open(self.log, errors="replace").read()


def ports(count):
    import socket

    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return found


def nginx(upstream):
    """The file as the package has it, with places that need no root, and a server beside the packaged ones."""
    [port] = ports(1)
    place = os.path.join(SCRATCH, "nginx")
    os.makedirs(place, exist_ok=True)
    conf = open(NGINX).read()
    conf = re.sub(r"(?m)^user .*$", "", conf)
    conf = re.sub(r"(?m)^pid .*$", f"pid {place}/pid; daemon off;", conf)
    conf = re.sub(r"(?m)^(\s*)(error_log|access_log) [^;\s]+", rf"\1\2 {place}/\2", conf)
    temporary = "".join(f"{kind}_temp_path {place}/{kind}; " for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    server = f"{temporary} server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{upstream}; }} }}"
    conf, count = re.subn(r"(?m)^\s*include /etc/nginx/sites-enabled/\*;", server, conf)
    assert count == 1, "the packaged nginx.conf is another"
    open(f"{place}/conf", "w").write(conf)
    return port, Program("nginx", ["nginx", "-c", f"{place}/conf", "-e", f"{place}/error"])


def haproxy(upstream):
    """The packaged section `defaults` as it is: there are the time limits."""
    [port] = ports(1)
    conf = open(HAPROXY).read()
    defaults = re.search(r"(?ms)^defaults\n.*?(?=^\S|\Z)", conf)[0]
    assert "timeout server  50000" in defaults, "the packaged haproxy.cfg is another"
    listen = f"listen in\n  bind 127.0.0.1:{port}\n  server gateway 127.0.0.1:{upstream}\n"
    path = os.path.join(SCRATCH, "haproxy.cfg")
    open(path, "w").write(f"global\n  maxconn 1000\n{defaults}\n{listen}")
    return port, Program("haproxy", ["haproxy", "-db", "-f", path])


async def ask(port, path, fields=(), method="GET", content=b"", limit=75):
    """(status, content), or what became of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = [f"{method} {path} HTTP/1.1", "host: shop.example", "accept: application/json", *fields]
        if content:
            lines.append(f"content-length: {len(content)}")
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        async with asyncio.timeout(limit):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?im)^content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
        return int(head.split()[1]), body
    except TimeoutError:
        return "no answer", b""
    except (asyncio.IncompleteReadError, ConnectionError):
        return "closed", b""
    finally:
        writer.close()


def is_ours(answer):
    status, content = answer
    try:
        return status == 504 and json.loads(content)["code"] == "http_response_timeout"
    except (ValueError, KeyError):
        return False


async def up(port):
    for _ in range(100):
        try:
            (await asyncio.open_connection("127.0.0.1", port))[1].close()
            return
        except OSError:
            await asyncio.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


async def hops():
    print("== behind nginx as installed and HAProxy with its packaged defaults, our defaults")
    upstream = await Upstream().start()
    gateway = Program("gateway", [GATEWAY, "--listen", "127.0.0.1:0", "--notice", "0s", "--upstream", f"http://127.0.0.1:{upstream.port}", "--quiet"])
    inner = await gateway.port()
    fronts = {"nginx": nginx(inner), "HAProxy": haproxy(inner)}
    for port, _ in fronts.values():
        await up(port)
    calls = {(name, path): [ask(port, path) for _ in range(CLIENTS)] for name, (port, _) in fronts.items() for path in ["/silent", "/late"]}
    answers = dict(zip(calls, await asyncio.gather(*(asyncio.gather(*each) for each in calls.values()))))
    for (name, path), seen in answers.items():
        if path == "/silent":
            row(f"{name}, silent upstream: our 504", f"{sum(map(is_ours, seen))} of {len(seen)}", f"{CLIENTS} of {CLIENTS}")
        else:
            late = sum(answer == (200, b"late") for answer in seen)
            row(f"{name}, an upstream that answers after 40 s", f"{late} of {len(seen)}", f"{CLIENTS} of {CLIENTS}")
    for _, program in fronts.values():
        program.end()
    gateway.end()


async def upgrades():
    print("== requests for an upgrade, silent upstream, --head-timeout 2s, through the gateway")
    upstream = await Upstream().start()
    url = f"http://127.0.0.1:{upstream.port}"
    gateway = Program("upgrades", [GATEWAY, "--listen", "127.0.0.1:0", "--notice", "0s", "--upstream", url, "--quiet", "--head-timeout", "2s"])
    port = await gateway.port()
    cases = [(field, content) for field in ["x", "websocket", "HTTP/2.0", "h2", "h2c, foo"] for content in [b"", b"content"]]
    asked = [ask(port, "/silent", ["connection: upgrade", f"upgrade: {field}"], "POST" if content else "GET", content) for field, content in cases]
    for (field, content), answer in zip(cases, await asyncio.gather(*asked)):
        row(f"Upgrade: {field}{', with content' if content else ''}", "our 504" if is_ours(answer) else answer, "our 504")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(5)
    writer.write(b"ping")
    async with asyncio.timeout(30):
        echo = await reader.readexactly(4)
    row("a WebSocket, silent for 5 s after its 101", (head[9:12], echo), (b"101", b"ping"))
    writer.close()
    gateway.end()


def left_out(log):
    return sum(int(count) for count in re.findall(r"left_out=(\d+)", log))


async def scrape(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return text


async def impatient():
    print("== a hung upstream, a client a tenth of a second for 30 s, each leaves after 10 s")
    upstream = await Upstream().start()
    program = Program("impatient", [METRICS, "--serve", f"http://127.0.0.1:{upstream.port}"])
    port = await program.port()
    calls = []
    for _ in range(300):
        calls.append(asyncio.create_task(ask(port, "/silent", limit=10)))
        await asyncio.sleep(0.1)
    text = await scrape(port)
    await asyncio.gather(*calls)
    for line in text.splitlines():
        if re.match(r"bad_gateway_(abandoned_total|time_to_abandonment_seconds_(sum|count)|requests_in_flight)", line):
            print(f"       {line}")
    counted = int(re.search(r'abandoned_total\{.*phase="response_head"\} (\d+)', text)[1])
    row("counted as abandoned after 30 s", counted, "about 200", 100 < counted < 250)
    warned = [line for line in program.end().splitlines() if "WARN" in line]
    for line in warned:
        print(f"       {line[28:]}")
    row("lines that say so", len(warned), "1 to 4, one in 10 s", 0 < len(warned) <= 4)


async def storm(program, port, seconds, connections=64, batch=32):
    """Requests one behind the other on a few connections; how many failures were answered."""
    request = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n" * batch
    end, answered = time.monotonic() + seconds, 0

    async def client():
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while time.monotonic() < end:
            writer.write(request)
            for _ in range(batch):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 502"), head
                await reader.readexactly(int(re.search(rb"(?im)^content-length: (\d+)", head)[1]))
                answered += 1
        writer.close()

    before = program.cpu()
    await asyncio.gather(*(client() for _ in range(connections)))
    return answered, program.cpu() - before


async def storms():
    seconds = int(os.environ.get("SECONDS_OF_STORM", "60"))
    print(f"== a dead upstream at full load for {seconds} s")
    program = Program("storm", [METRICS, "--serve"])
    port = await program.port()
    answered, cpu = await storm(program, port, seconds)
    text = await scrape(port)
    failures = sum(int(count) for count in re.findall(r"(?m)^bad_gateway_failures_total\{.*\} (\d+)", text))
    unwritten = int(re.search(r"(?m)^bad_gateway_events_left_out_total\{.*\} (\d+)", text)[1])
    log = program.end()
    lines = sum("WARN" in line for line in log.splitlines())
    print(f"       {answered} failures answered, {lines} lines, {lines / seconds:.1f} a second, {cpu / answered * 1e6:.1f} µs of CPU a failure")
    row("failures counted", failures, answered)
    row("lines written + lines left out", lines + unwritten, failures)
    row("left out, as the log says (the rest comes when the layer goes)", left_out(log), f"at most {unwritten}", left_out(log) <= unwritten)


async def everything():
    await asyncio.gather(hops(), upgrades())
    await impatient()
    await storms()


# As if it had come to its end: what was started is ended.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    asyncio.run(everything())
finally:
    for program in list(Program.running):
        program.end()
print(f"{rows} rows, {wrong} wrong")
sys.exit(wrong > 0)
