"""Upstream, one client (grpcio) and the judge of scripts/grpc."""

import json, socket, struct, subprocess, sys, threading, time

import h2.config, h2.connection, h2.events

# One field of Protocol Buffers, which all clients can read as a message without fields.
MESSAGE = b"\0\0\0\0\x02\x08\x01"
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
CODES = {name: number for number, name in enumerate(
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM "
    "CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED".split())}

# What breaks, and the code at a boundary: before the head, after it, after a message. Inside of a message all of them are a reset.
BREAKS = {f"rst-{name}": ([("rst", number)], 14) for name, number in CODES.items()}
BREAKS |= {
    "fin": ([("fin",)], 14),
    "tcp-reset": ([("tcp",)], 14),
    "goaway-error": ([("goaway", 2, 0)], 14),
    "goaway-below": ([("goaway", 0, 0), ("fin",)], 14),
    "silent": ([("silent",)], 4),
}
ENDS = {
    "end-without-status": ([("end",)], 13),
    "trailers-without-status": ([("trailers", [("x-sum", "1")])], 13),
    "status-17": ([("trailers", [("grpc-status", "17")])], 13),
    "status-abc": ([("trailers", [("grpc-status", "abc")])], 13),
    "status-twice": ([("trailers", [("grpc-status", "14"), ("grpc-status", "4")])], 13),
}
INSIDE = {
    "end": [("end",)],
    "status-0": [("trailers", [("grpc-status", "0")])],
    "status-abc": [("trailers", [("grpc-status", "abc")])],
}
HTTP = {502: 14, 503: 14, 504: 14, 429: 14, 401: 16, 403: 7, 404: 12, 400: 13, 500: 13, 418: 13, 200: 13}
PAUSE = [("sleep", 0.05)]


def rows():
    """name -> (actions, code, whole messages before the failure)"""
    table = {"healthy": ([("head",), ("message",), ("trailers", [("grpc-status", "0")])], 0, 1)}
    table["own-failure"] = ([("head",), ("message",), ("trailers", [("grpc-status", "5"), ("grpc-message", "gone")])], 5, 1)
    for name, (actions, code) in BREAKS.items():
        table[f"before-{name}"] = (actions, code, 0)
        table[f"after-head-{name}"] = ([("head",), *PAUSE, *actions], code, 0)
        table[f"after-message-{name}"] = ([("head",), ("message",), *PAUSE, *actions], code, 1)
        table[f"inside-{name}"] = ([("head",), ("message",), ("half",), *PAUSE, *actions], 13, 1)
    for name, (actions, code) in ENDS.items():
        table[f"after-head-{name}"] = ([("head",), *PAUSE, *actions], code, 0)
        table[f"after-message-{name}"] = ([("head",), ("message",), *PAUSE, *actions], code, 1)
    for name, actions in INSIDE.items():
        table[f"inside-{name}"] = ([("head",), ("message",), ("half",), *PAUSE, *actions], 13, 1)
    for status, code in HTTP.items():
        table[f"http-{status}"] = ([("http", status)], code, 0)
    table["head-that-ends"] = ([("only", HEAD)], 13, 0)
    table["trailers-only-5-in-502"] = ([("only", [(":status", "502"), ("content-type", "text/html"), ("grpc-status", "5")])], 5, 0)
    table["a-prefix-that-is-none"] = ([("head",), ("message",), *PAUSE, ("bytes", b"<html>"), *PAUSE, ("end",)], 13, 1)
    return {name.replace("-", "_"): row for name, row in table.items()}


class Gone(Exception):
    pass


def act(connection, client, stream, actions):
    def flush():
        client.sendall(connection.data_to_send())
    for action, *rest in actions:
        match action:
            case "head": connection.send_headers(stream, HEAD)
            case "message": connection.send_data(stream, MESSAGE)
            case "half": connection.send_data(stream, MESSAGE[:6])
            case "bytes": connection.send_data(stream, rest[0])
            case "trailers": connection.send_headers(stream, rest[0], end_stream=True)
            case "only": connection.send_headers(stream, rest[0], end_stream=True)
            case "end": connection.end_stream(stream)
            case "rst": connection.reset_stream(stream, rest[0])
            case "http":
                connection.send_headers(stream, [(":status", str(rest[0])), ("content-type", "text/html")])
                connection.send_data(stream, b"<html>nothing here</html>", end_stream=True)
            case "goaway":
                # By hand: a connection that says so may say no more.
                client.sendall(struct.pack(">BHBBIII", 0, 8, 7, 0, 0, rest[1], rest[0]))
            case "sleep": time.sleep(rest[0])
            case "silent": return
            case "fin": raise Gone
            case "tcp":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise Gone
        flush()


def serve(client, table):
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, validate_outbound_headers=False))
    connection.initiate_connection()
    client.sendall(connection.data_to_send())
    try:
        while data := client.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if isinstance(event, h2.events.RequestReceived):
                    path = next(value for name, value in event.headers if name in (":path", b":path"))
                    path = path.decode() if isinstance(path, bytes) else path
                    client.sendall(connection.data_to_send())
                    act(connection, client, event.stream_id, table[path.rsplit("/", 1)[1]][0])
            client.sendall(connection.data_to_send())
    except (Gone, OSError, h2.exceptions.ProtocolError):
        pass
    client.close()


def upstream():
    table = rows()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            client, _ = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(client, table), daemon=True).start()


KINDS = ["unary", "server", "client", "bidi"]


def grpcio(address, names, label):
    import grpc

    same = lambda data: data
    for name in names:
        for kind in KINDS:
            with grpc.insecure_channel(address, options=[("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0)]) as channel:
                path, seen, start = f"/t.T/{name}", 0, time.monotonic()
                make = {"unary": channel.unary_unary, "server": channel.unary_stream, "client": channel.stream_unary, "bidi": channel.stream_stream}[kind]
                method = make(path, request_serializer=same, response_deserializer=same)
                done = threading.Event()
                asked = messages(done if kind == "bidi" else None) if kind in ("client", "bidi") else b"abc"
                try:
                    answer = method(asked, timeout=5)
                    if kind in ("server", "bidi"):
                        for _ in answer:
                            seen += 1
                    code, text = 0, ""
                except grpc.RpcError as error:
                    code, text = error.code().value[0], error.details()
                done.set()
                tell(label, kind, name, code, text, seen, start)


def messages(done):
    """One, and in a bidirectional call the caller's side stays open until it has its answer."""
    yield b"abc"
    if done:
        done.wait()


def tell(client, kind, name, code, text, seen, start):
    print(json.dumps([client, kind, name, code, text, seen, round((time.monotonic() - start) * 1000)]), flush=True)


# What no gateway can change: a client that reads no reset code, where only trailers reach it, and one that has judged the bytes itself before
# the abort comes.
OWN_CODE = {"tonic, channel alone": 2, "grpc-js": 8}


def judge(files):
    table, wrong, counts, left = rows(), [], {}, {}
    lost = deadlines = 0
    for line in (line for file in files for line in open(file)):
        client, kind, name, code, text, seen, millis = json.loads(line)
        _, expected, messages = table[name] if name in table else (None, 14, 0)
        counts[client] = counts.get(client, 0) + 1
        if kind in ("server", "bidi") and seen != messages:
            lost += 1
            wrong.append((client, kind, name, f"{seen} messages, of {messages}"))
        if millis >= 4900:
            deadlines += 1
            wrong.append((client, kind, name, f"ended by its deadline, {millis} ms, {code} {text}"))
        elif code != expected:
            if name.startswith("a_prefix" if client == "grpc-js" else ("inside", "a_prefix")) and OWN_CODE.get(client) == code:
                left[client] = left.get(client, 0) + 1
            else:
                wrong.append((client, kind, name, f"{code} {text!r}, not {expected}"))
    for row in sorted(wrong):
        print("WRONG", *row)
    print(f"{sum(counts.values())} calls: " + ", ".join(f"{client} {count}" for client, count in counts.items()))
    for client, count in left.items():
        why = {2: "UNKNOWN, since that client reads no reset code", 8: "RESOURCE_EXHAUSTED, since that client takes HTML for a length"}
        print(f"{client}: {count} aborts inside of a message are {why[OWN_CODE[client]]}")
    print(f"{len(wrong)} wrong; messages lost {lost}; calls that ended only by their deadline {deadlines}")
    sys.exit(bool(wrong) or len(counts) < 6)


match sys.argv[1:]:
    case ["upstream"]: upstream()
    case ["names"]: print("\n".join(rows()))
    case ["grpcio", "--through-two", address, *names]: grpcio(address, names, "grpcio, two gateways")
    case ["grpcio", address, *names]: grpcio(address, names, "grpcio")
    case ["judge", *files]: judge(files)
    case other: sys.exit(f"unknown: {other}")
