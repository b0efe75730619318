"""See perf/end-to-end and perf/price."""

import os, re, signal, socket, statistics, subprocess, sys, tempfile, threading, time

HOP, ROUNDS, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
GATEWAY = sys.argv[4] if len(sys.argv) > 4 else None
LOADS = {"healthy, 1 KiB": (1024, 200), "healthy, 1 MiB": (1 << 20, 200), "dead": (None, 502)}
running = []


def start(*arguments):
    """A process, and its port."""
    # Its log goes into a file, and all of it is written.
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=tempfile.TemporaryFile(), text=True)
    running.append(process)
    return process, int(re.search(r"(\d+)$", process.stdout.readline().strip())[1])


def cpu(process):
    """In seconds, of all its threads."""
    tasks = f"/proc/{process.pid}/task"
    return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks)) / 1e9


def ask(port, path, status, batch, end, counts):
    """Requests one behind the other on one connection."""
    client = socket.create_connection(("127.0.0.1", port))
    request = f"GET {path} HTTP/1.1\r\nhost: api.example.com\r\naccept: application/json, text/html;q=0.9, */*;q=0.8\r\nuser-agent: load\r\n\r\n".encode()
    reader, done = client.makefile("rb", buffering=1 << 18), 0
    while time.monotonic() < end:
        client.sendall(request * batch)
        for _ in range(batch):
            line = reader.readline()
            assert line.startswith(b"HTTP/1.1 %d" % status), line
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            reader.read(length)
            done += 1
    counts.append(done)
    client.close()


def measure(process, port, path, status):
    batch = 4 if "1048576" in path else 16
    counts, end = [], time.monotonic() + SECONDS
    before = cpu(process)
    clients = [threading.Thread(target=ask, args=(port, path, status, batch, end, counts)) for _ in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(counts) == 4, "a client has failed"
    return (cpu(process) - before) / sum(counts) * 1e6


def command(name, url):
    if name in ("bare", "layer"):
        return [HOP, name, url]
    log = {"gateway": "all", "silent": "off"}[name]
    return [GATEWAY, "--listen", "127.0.0.1:0", "--notice", "0s", "--upstream", url, "--log", log]


try:
    _, upstream = start(HOP, "upstream")
    names = ["bare", "gateway", "silent"] if GATEWAY else ["bare", "layer"]
    with socket.create_server(("127.0.0.1", 0)) as held:
        dead = held.getsockname()[1]
    hops = {}
    for name in names:
        for target in [upstream, dead]:
            hops[name, target] = start(*command(name, f"http://127.0.0.1:{target}"))
    print("CPU a request in microseconds, of which the least and the median of the rounds:")
    for load, (length, status) in LOADS.items():
        target, path = (dead, "/") if length is None else (upstream, f"/{length}")
        seen = {name: [] for name in names}
        for _ in range(ROUNDS):
            for name in seen:
                seen[name].append(measure(*hops[name, target], path, status))
        bare, *others = seen.values()
        cells = "  ".join(f"{name} {min(times):.2f} {statistics.median(times):.2f}" for name, times in seen.items())
        print(f"{load:<15} {cells}")
        for name, times in zip(names[1:], others):
            ratios = [other / one for one, other in zip(bare, times)]
            least = min(times) / min(bare)
            print(f"  {name:<10} ratio of the least {least:.3f}, of the rounds {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)
finally:
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.wait()
