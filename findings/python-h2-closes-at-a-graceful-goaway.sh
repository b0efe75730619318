#!/usr/bin/env bash
# Finding: Python's h2 takes a graceful GOAWAY for the end of the connection,
# and every frame after it for a protocol error of the server.
#
# What is surprising
#   A server shuts down gently: GOAWAY with the last stream 2^31-1 and NO_ERROR,
#   a PING to learn when a round trip is over, and then the rest of the response
#   that is under way. For a client made of h2 the connection is closed from
#   that GOAWAY on. The PING raises ProtocolError, and so do the HEADERS or the
#   DATA of the open stream and a WINDOW_UPDATE; only another GOAWAY is taken.
#   With the exception h2 prepares a GOAWAY of its own that accuses the server
#   of PROTOCOL_ERROR. Servers often write GOAWAY and PING together: if both are
#   in one read, the call raises and returns no events, so that neither the
#   GOAWAY nor any DATA in front of it is seen. Content of an upload that the
#   client has given to h2 but not fetched yet is thrown away in silence.
#
# Why one would expect otherwise
#   RFC 9113, section 6.8, has this way to shut down so that nothing under way
#   is lost: a receiver of GOAWAY must not open new streams, and those up to the
#   last one named can still complete. The documentation of the event
#   ConnectionTerminated does say that no further action may be taken then. But
#   an incoming frame is no action of the client, and that a valid one raises
#   ProtocolError is not said there. The project knows of it as issue 1181.
#
# What it means for whoever writes a gateway
#   To such clients (httpx uses h2 for HTTP/2) the gentle way to end a
#   connection is the rough one: the responses under way fail, with an error
#   that blames the gateway. Where the time to stop allows it, let a connection
#   finish what is under way before GOAWAY is sent on it. A GOAWAY with
#   PROTOCOL_ERROR that comes back during a shutdown is no sign of a fault of
#   the gateway.
#
# Versions: h2 4.4.1, hyperframe 6.1.0, hpack 4.2.0 (all of PyPI).
# Date: 2026-11-29.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >requirements.txt <<'TXT'
h2==4.4.1
# They make the frames of the server, and h2 uses them itself.
hpack==4.2.0
hyperframe==6.1.0
TXT

cat >main.py <<'PYTHON'
import h2.connection
import h2.errors
import h2.exceptions
import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

# What the server sends. There is one response for each connection, so that the
# state of HPACK is always new.
SETTINGS = SettingsFrame(0).serialize()
OK = hpack.Encoder().encode([(":status", "200")])
HEADERS = HeadersFrame(1, data=OK, flags=["END_HEADERS"]).serialize()
HALF = DataFrame(1, data=b"first half").serialize()
REST = DataFrame(1, data=b"second half", flags=["END_STREAM"]).serialize()
PING = PingFrame(0, opaque_data=b"12345678").serialize()
WINDOW = WindowUpdateFrame(0, window_increment=1000).serialize()
NO_ERROR = h2.errors.ErrorCodes.NO_ERROR
GENTLE = GoAwayFrame(0, last_stream_id=2**31 - 1, error_code=NO_ERROR).serialize()
FINAL = GoAwayFrame(0, last_stream_id=1, error_code=NO_ERROR).serialize()


def client(method="GET"):
    """A client that has sent the head of a request on stream 1: a POST has content to come."""
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    fields = {":method": method, ":scheme": "http", ":authority": "localhost", ":path": "/"}
    connection.send_headers(1, fields.items(), end_stream=method == "GET")
    connection.receive_data(SETTINGS)
    connection.data_to_send()
    return connection


def receive(connection, octets):
    """What comes of it: the events, or the error and what is to be sent to the server."""
    try:
        events = connection.receive_data(octets)
    except h2.exceptions.ProtocolError as error:
        sent = memoryview(connection.data_to_send())
        frame, _ = Frame.parse_frame_header(sent[:9])
        frame.parse_body(sent[9:])
        code = h2.errors.ErrorCodes(frame.error_code).name
        return f"ProtocolError, {error}\n    to be sent: {type(frame).__name__}, {code}"
    return ", ".join(type(event).__name__ for event in events)


connection = client()
print("HEADERS and DATA:", receive(connection, HEADERS + HALF))
print("GOAWAY:", receive(connection, GENTLE))

for name, before, after in [
    ("PING", HEADERS + HALF, PING),
    ("HEADERS", b"", HEADERS),
    ("DATA", HEADERS + HALF, REST),
    ("WINDOW_UPDATE", HEADERS + HALF, WINDOW),
    ("the last GOAWAY", HEADERS + HALF, FINAL),
]:
    connection = client()
    connection.receive_data(before + GENTLE)
    print(f"GOAWAY, then {name}:", receive(connection, after))

connection = client()
connection.receive_data(HEADERS)
print("DATA, GOAWAY and PING in one read:", receive(connection, HALF + GENTLE + PING))

connection = client("POST")
connection.send_data(1, b"one bicycle")
connection.receive_data(GENTLE)
print("octets to be sent of an upload, after GOAWAY:", len(connection.data_to_send()))
try:
    connection.send_data(1, b"and a bell", end_stream=True)
except h2.exceptions.ProtocolError as error:
    print(f"more of the upload, after GOAWAY: ProtocolError, {error}")
PYTHON

cat >expected <<'TEXT'
HEADERS and DATA: ResponseReceived, DataReceived
GOAWAY: ConnectionTerminated
GOAWAY, then PING: ProtocolError, Invalid input ConnectionInputs.RECV_PING in state ConnectionState.CLOSED
    to be sent: GoAwayFrame, PROTOCOL_ERROR
GOAWAY, then HEADERS: ProtocolError, Invalid input ConnectionInputs.RECV_HEADERS in state ConnectionState.CLOSED
    to be sent: GoAwayFrame, PROTOCOL_ERROR
GOAWAY, then DATA: ProtocolError, Invalid input ConnectionInputs.RECV_DATA in state ConnectionState.CLOSED
    to be sent: GoAwayFrame, PROTOCOL_ERROR
GOAWAY, then WINDOW_UPDATE: ProtocolError, Invalid input ConnectionInputs.RECV_WINDOW_UPDATE in state ConnectionState.CLOSED
    to be sent: GoAwayFrame, PROTOCOL_ERROR
GOAWAY, then the last GOAWAY: ConnectionTerminated
DATA, GOAWAY and PING in one read: ProtocolError, Invalid input ConnectionInputs.RECV_PING in state ConnectionState.CLOSED
    to be sent: GoAwayFrame, PROTOCOL_ERROR
octets to be sent of an upload, after GOAWAY: 0
more of the upload, after GOAWAY: ProtocolError, Invalid input ConnectionInputs.SEND_DATA in state ConnectionState.CLOSED
TEXT

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt

echo "Versions:"
venv/bin/python --version
venv/bin/pip freeze

echo "Seen:"
timeout 30 venv/bin/python main.py | tee seen

if ! diff -u expected seen; then
    echo "The behaviour has changed: expected is -, seen is +." >&2
    exit 1
fi
echo "The behaviour is the one described above."
