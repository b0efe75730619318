"""What clients take a response for whose upstream breaks it in the middle, with real hops in front of the gateway: see scripts/cuts."""

import asyncio, collections, itertools, os, re, shutil, signal, socket, subprocess, sys, time

import hpack

GATEWAY, SCRATCH = sys.argv[1:3]
# As long as a busy machine may need: what is broken is so after a tenth of a second.
HOLD = {"without --hold-body": [], "with --hold-body 64KiB --hold-body-time 30s": ["--hold-body", "64KiB", "--hold-body-time", "30s"]}
# For a stream, which is held for all of this time.
HOLD_STREAM = {"without --hold-body": [], "with --hold-body 64KiB --hold-body-time 1s": ["--hold-body", "64KiB", "--hold-body-time", "1s"]}
WITHOUT, WITH = HOLD
FRAMINGS = ["chunked", "length"]
TRIES = 3
# A client waits no longer, a program has no longer to start.
LIMIT = 20
# What is broken is so a tenth of a second after its head.
LATE = 3
PIECES = [bytes([letter]) * 1000 for letter in b"abc"]
TICKS = [b"tick %02d\n" % number for number in range(30)]
rows, wrong = 0, 0


def row(name, seen, expected, right):
    global rows, wrong
    rows += 1
    wrong += not right
    print(f"{'ok   ' if right else 'WRONG'}  {name} {seen}" + ("" if right else f"\n       {'expected:':<{len(name)}} {expected}"), flush=True)


async def upstream(reader, writer):
    """Sends /chunked or /length whole, /chunked/broken or /length/broken without its last third, /stream slowly; then closes by FIN
    what is broken."""
    try:
        while True:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            pieces, pause = (TICKS, 0.1) if path.startswith("/stream") else (PIECES, 0.05)
            chunked, broken = not path.startswith("/length"), "/broken" in path
            framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(b"".join(pieces))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n%s\r\n\r\n" % framing)
            for piece in pieces[:-1] if broken else pieces:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                await asyncio.sleep(pause)
            if broken:
                return
            if chunked:
                writer.write(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        # The last of these at the end of it all, where asyncio would print it.
        pass
    finally:
        writer.close()


class Answer:
    """What a client has seen; `end` is what it takes the end of the body for, None as long as there was no head."""

    def __init__(self):
        self.status, self.fields, self.content, self.end, self.first_byte = None, {}, b"", None, None

    def head(self, status, fields):
        self.status, self.fields, self.end = int(status), {name.lower(): value.strip() for name, value in fields}, "cut"

    def add(self, data):
        if data and self.first_byte is None:
            self.first_byte = time.monotonic()
        self.content += data

    def name(self):
        if self.status is None:
            return self.end or "no answer"
        if self.status == 200:
            return self.end
        ours = self.fields.get("proxy-status", "").startswith("cuts;error=")
        return f"{self.status}" + ("" if ours else ", not ours") + ("" if self.end == "whole" else f", {self.end}")


async def http1(answer, reader, writer, path, version):
    writer.write(f"GET {path} HTTP/{version}\r\nhost: shop.example\r\n\r\n".encode())
    status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    answer.head(status.split(" ")[1], (field.split(":", 1) for field in fields))
    if "transfer-encoding" in answer.fields:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            answer.add((await reader.readexactly(size + 2))[:-2])
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    elif "content-length" in answer.fields:
        answer.add(await reader.readexactly(int(answer.fields["content-length"])))
    else:
        # By FIN, that is; by RST it is a cut.
        answer.add(await reader.read())
    answer.end = "whole"


async def http2(answer, reader, writer, path):
    """Prior knowledge, one request; enough for responses that fit into the first window."""
    DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
    ACK = END_STREAM = 0x1
    END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20

    def frame(kind, flags, stream, content):
        writer.write(len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content)

    decoder = hpack.Decoder()
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    frame(SETTINGS, 0, 0, b"")
    request = {":method": "GET", ":scheme": "http", ":authority": "shop.example", ":path": path}
    frame(HEADERS, END_STREAM | END_HEADERS, 1, hpack.Encoder().encode(request))
    while True:
        head = await reader.readexactly(9)
        content = await reader.readexactly(int.from_bytes(head[:3]))
        kind, flags = head[3:5]
        if kind in (SETTINGS, PING) and not flags & ACK:
            frame(kind, ACK, 0, content if kind == PING else b"")
        elif kind == RST_STREAM:
            return
        elif kind in (DATA, HEADERS, CONTINUATION):
            if kind == CONTINUATION or flags & PADDED or kind == HEADERS and (flags & PRIORITY or not flags & END_HEADERS):
                raise ValueError("a frame that is not read here")
            if kind == DATA:
                answer.add(content)
            else:
                fields = decoder.decode(content)
                if fields[0][0] == ":status":
                    answer.head(fields[0][1], fields[1:])
            if flags & END_STREAM:
                length = answer.fields.get("content-length")
                answer.end = "whole" if length in (None, str(len(answer.content))) else "short"
                return


CLIENTS = {
    "HTTP/1.1": lambda *those: http1(*those, "1.1"),
    "HTTP/2": http2,
    "HTTP/1.0": lambda *those: http1(*those, "1.0"),
}


async def ask(client, port, path):
    answer, writer = Answer(), None
    try:
        async with asyncio.timeout(LIMIT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await CLIENTS[client](answer, reader, writer, path)
    except TimeoutError:
        answer.end = f"no end in {LIMIT} s"
    except asyncio.IncompleteReadError:
        pass
    except OSError as error:
        answer.end = answer.end or f"no answer: {error}"
    except (ValueError, hpack.HPACKError) as error:
        answer.end = f"unreadable: {error}"
    finally:
        if writer:
            writer.close()
    return answer


class Program:
    """A gateway or a hop, with its log in a file; ended by its own process number."""

    running = []

    def __init__(self, place, arguments):
        self.log, self.out = f"{place}/log", f"{place}/out"
        with open(self.log, "wb") as log, open(self.out, "wb") as out:
            # What it writes for itself it writes there.
            self.process = subprocess.Popen(arguments, stdout=out, stderr=log, cwd=place, env={**os.environ, "HOME": place})
        self.running.append(self)

    def fail(self):
        raise SystemExit(f"{' '.join(self.process.args)} did not start: {open(self.log, errors='replace').read()}")

    @classmethod
    def end(cls, *those):
        for program in those:
            program.process.send_signal(signal.SIGTERM)
        for program in those:
            try:
                program.process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()
            cls.running.remove(program)


def place(numbers=itertools.count()):
    path = f"{SCRATCH}/{next(numbers)}"
    os.mkdir(path)
    return path


async def gateway(port, hold):
    program = Program(place(), [GATEWAY, "--listen", "127.0.0.1:0", "--notice", "0s", "--upstream", f"http://127.0.0.1:{port}", "--name", "cuts", "--quiet", *hold])
    for _ in range(LIMIT * 10):
        if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", open(program.out).read()):
            return int(found[1])
        if program.process.poll() is not None:
            break
        await asyncio.sleep(0.1)
    program.fail()


# Each hop with what it takes to forward, and nothing else. It is told its place, the port of the gateway, a port for HTTP/1.1 and one
# for HTTP/2; it gives the text of its configuration, the command, and whether the second port is one of its own.


def nginx(*directives):
    def hop(place, gateway, port1, port2):
        temporary = " ".join(f"{kind}_temp_path {place}/{kind};" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
        location = f"location / {{ {' '.join(directives)} proxy_pass http://127.0.0.1:{gateway}; }}"
        servers = " ".join(f"server {{ listen 127.0.0.1:{listen}; {location} }}" for listen in [port1, f"{port2} http2"])
        conf = f"daemon off; master_process off; pid {place}/pid; events {{}} http {{ access_log off; {temporary} {servers} }}"
        return conf, ["nginx", "-p", place, "-c", f"{place}/conf", "-e", "stderr"], True

    return hop


def haproxy(place, gateway, port1, port2):
    conf = f"""
defaults
  mode http
  timeout connect 10s
  timeout client 30s
  timeout server 30s
listen hop
  bind 127.0.0.1:{port1}
  bind 127.0.0.1:{port2} proto h2
  server gateway 127.0.0.1:{gateway}
"""
    return conf, ["haproxy", "-db", "-f", f"{place}/conf"], True


def varnish(place, gateway, port1, _):
    listen = ["-a", f"127.0.0.1:{port1}", "-b", f"127.0.0.1:{gateway}", "-p", "feature=+http2"]
    return "", ["varnishd", "-F", "-n", f"{place}/work", "-j", "none", "-T", "none", *listen], False


def lighttpd(place, gateway, port1, _):
    conf = f"""
server.document-root = "{place}"
server.bind = "127.0.0.1"
server.port = {port1}
server.modules = ("mod_proxy")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => {gateway})))
"""
    return conf, ["lighttpd", "-D", "-f", f"{place}/conf"], False


def caddy(place, gateway, port1, _):
    conf = f"""
{{
  admin off
  persist_config off
  auto_https off
  servers {{
    protocols h1 h2c
  }}
}}
http://:{port1} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{gateway}
}}
"""
    return conf, ["caddy", "run", "--adapter", "caddyfile", "--config", f"{place}/conf"], False


# By its name: the program, how it is asked for its version, and the hop.
HOPS = {
    "nginx": ("nginx", "-v", nginx()),
    "nginx, proxy_http_version 1.1": ("nginx", "-v", nginx("proxy_http_version 1.1;")),
    "HAProxy": ("haproxy", "-v", haproxy),
    "Varnish": ("varnishd", "-V", varnish),
    "lighttpd": ("lighttpd", "-v", lighttpd),
    "caddy": ("caddy", "version", caddy),
}


async def start(hop, gateway):
    """Starts it before that gateway; the port of each client."""
    for _ in range(5):
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        port1, port2 = (one.getsockname()[1] for one in held)
        for one in held:
            one.close()
        path = place()
        conf, command, both = hop(path, gateway, port1, port2)
        with open(f"{path}/conf", "w") as file:
            file.write(conf)
        program = Program(path, command)
        ports = {"HTTP/1.1": port1, "HTTP/2": port2 if both else port1}
        end = time.monotonic() + LIMIT
        while time.monotonic() < end and program.process.poll() is None:
            # What the gateway says of itself: somebody else who has taken the port does not know it.
            if all([(await ask(client, port, "/-/live")).status == 200 for client, port in ports.items()]):
                return ports
            await asyncio.sleep(0.1)
        last = program
        Program.end(program)
    last.fail()


async def tries(client, port, path):
    """How often which outcome, and how long the slowest took."""
    outcomes, slowest = collections.Counter(), 0
    for _ in range(TRIES):
        started = time.monotonic()
        # A name of its own, for who caches.
        answer = await ask(client, port, f"{path}/{next(names)}")
        took = time.monotonic() - started
        outcome = answer.name()
        if "/broken" not in path and outcome == "whole" and answer.content != b"".join(PIECES):
            outcome = "other content"
        outcomes[outcome] += 1
        slowest = max(slowest, took)
        if answer.status != 200:
            members.add(answer.fields.get("proxy-status"))
    return outcomes, slowest


names = itertools.count()
members = set()


def shown(outcomes):
    return next(iter(outcomes)) if len(outcomes) == 1 else ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())


def named(name, client):
    return f"{name:<30} {client:<9}"


def line(cells):
    return " ".join(f"{cell:<18}" for cell in cells).rstrip()


async def matrix(hold, places):
    paths = [f"/{framing}{kind}" for kind in ["/broken", ""] for framing in FRAMINGS]
    table = [(name, client, port) for name, ports in places.items() for client, port in ports.items()]

    async def hop(port, client):
        return [await tries(client, port, path) for path in paths]

    print(f"\n== {hold}: {TRIES} times each\n       {named('hop', 'client')} {line(['broken, chunked', 'broken, length', 'sound, chunked', 'sound, length'])}")
    looks_whole, late = [], []
    for (name, client, _), measured in zip(table, await asyncio.gather(*(hop(port, client) for _, client, port in table))):
        cells, times = zip(*measured)
        judged = "502" if hold == WITH else "cut" if (name, client) == ("none", "HTTP/1.1") else None
        expected = [judged, judged, "whole", "whole"]
        right = all(want in (None, shown(cell)) for want, cell in zip(expected, cells))
        row(named(name, client), line(map(shown, cells)), line([want or "any" for want in expected]), right)
        looks_whole += [f"{name}, {framing}, {client}" for framing, cell in zip(FRAMINGS, cells) if cell["whole"]]
        late += [f"{name}, {framing}, {client}: after {took:.1f} s" for framing, took in zip(FRAMINGS, times) if took > LATE]
    for what, found in [("looks whole", looks_whole), ("ended late", late)]:
        print("\n         ".join([f"       broken, and {what}: {len(found)} of {len(table) * len(FRAMINGS)}", *found]))


async def first_byte(hold, port):
    started = time.monotonic()
    answer = await ask("HTTP/1.1", port, "/stream")
    after = "never" if answer.first_byte is None else f"after {answer.first_byte - started:.2f} s"
    right = (answer.status, answer.end, answer.content) == (200, "whole", b"".join(TICKS))
    seen = f"first byte {after}, {answer.name()} after {time.monotonic() - started:.2f} s"
    return f"{hold:<44}", seen, "200, whole, with all that was sent", right


def version(program, option):
    asked = subprocess.run([program, option], capture_output=True, text=True, timeout=LIMIT)
    return re.search(r"\d+(\.\d+)+", asked.stdout + asked.stderr)[0]


async def everything():
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gateways = {hold: await gateway(port, arguments) for hold, arguments in HOLD.items()}
    there = {name: hop for name, hop in HOPS.items() if shutil.which(hop[0])}
    versions = {program: f"{program} {version(program, option)}" for program, option, _ in there.values()}
    print("what a client takes a response for whose upstream breaks it in the middle, through the gateway and a hop before it")
    print(f"hops: {', '.join(versions.values()) or 'none'}")
    print("whole: it ends as it should; cut: it does not; short: END_STREAM, but less than its content-length; 502: ours, by Proxy-Status")
    print("judged are the sound ones, the broken ones that are held, and of the others that without a hop by HTTP/1.1")
    for hold, inner in gateways.items():
        ports = await asyncio.gather(*(start(hop, inner) for _, _, hop in there.values()))
        await matrix(hold, {"none": dict.fromkeys(CLIENTS, inner), **dict(zip(there, ports))})
    print(f"       Proxy-Status of all that was no 200: {', '.join(sorted(map(str, members))) or 'none'}")
    if shutil.which("nginx"):
        print("\n== a chunk every 100 ms, 30 of them, through nginx, proxy_http_version 1.1, proxy_buffering off")
        hop = nginx("proxy_http_version 1.1;", "proxy_buffering off;")
        gateways = [await gateway(port, arguments) for arguments in HOLD_STREAM.values()]
        ports = [await start(hop, inner) for inner in gateways]
        for seen in await asyncio.gather(*(first_byte(hold, each["HTTP/1.1"]) for hold, each in zip(HOLD_STREAM, ports))):
            row(*seen)
    return [f"{name}: it is not there" for name in HOPS if name not in there]


# As if it had come to its end: what was started is ended.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
try:
    skipped = asyncio.run(everything())
finally:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Program.end(*Program.running)
print(f"\n{rows} rows, {wrong} wrong\nskipped: {'; '.join(skipped) or 'nothing'}")
sys.exit(wrong > 0)
