"""See perf/end-to-end."""

import os, re, signal, socket, statistics, subprocess, sys, threading, time

HOP, ROUNDS, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
LOADS = {"healthy, 1 KiB": (1024, 200), "healthy, 1 MiB": (1 << 20, 200), "dead": (None, 502)}
running = []


def start(*arguments):
    process = subprocess.Popen([HOP, *arguments], stdout=subprocess.PIPE, text=True)
    running.append(process)
    return process, int(process.stdout.readline())


def cpu(process):
    """In seconds."""
    fields = open(f"/proc/{process.pid}/schedstat").read().split()
    return int(fields[0]) / 1e9


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


try:
    _, upstream = start("upstream")
    with socket.create_server(("127.0.0.1", 0)) as held:
        dead = held.getsockname()[1]
    hops = {}
    for name in ["bare", "layer"]:
        for target in [upstream, dead]:
            hops[name, target] = start(name, f"http://127.0.0.1:{target}")
    print("CPU a request in microseconds, of which the least and the median of the rounds:")
    for load, (length, status) in LOADS.items():
        target, path = (dead, "/") if length is None else (upstream, f"/{length}")
        seen = {"bare": [], "layer": []}
        for _ in range(ROUNDS):
            for name in seen:
                seen[name].append(measure(*hops[name, target], path, status))
        ratios = [layer / bare for bare, layer in zip(seen["bare"], seen["layer"])]
        cells = "  ".join(f"{name} {min(times):.2f} {statistics.median(times):.2f}" for name, times in seen.items())
        least = min(seen["layer"]) / min(seen["bare"])
        print(f"{load:<15} {cells}  ratio of the least {least:.3f}, of the rounds {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)
finally:
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.wait()
