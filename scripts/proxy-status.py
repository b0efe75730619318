"""Called by scripts/proxy-status: reads one value of Proxy-Status (RFC 9209) by http_sf.

Prints it as JSON, with the types, and then for each member why it is there.
"""
import json
import os
import sys

import http_sf

TOKEN, STRING, INTEGER, BYTES = "token", "string", "integer", "bytes"
# What RFC 9209, section 2.1, says of each parameter.
TYPES = {"error": {TOKEN}, "received-status": {INTEGER}, "next-hop": {TOKEN, STRING}, "next-protocol": {TOKEN, BYTES}, "details": {STRING}}
# Section 2.3: those of the rows.
ERRORS = {"connection_refused", "http_response_timeout"}


def typed(value):
    if isinstance(value, http_sf.Token):
        return TOKEN, str(value)
    if isinstance(value, str):
        return STRING, value
    if isinstance(value, int) and not isinstance(value, bool):
        return INTEGER, value
    sys.exit(f"{value!r} has no place here")


def why(name, parameters):
    values = {key: value for key, _, value in parameters}
    if "error" in values:
        reason = f"made this answer: {values['error']}"
    elif "received-status" in values:
        reason = f"received a {values['received-status']} and answered in its place"
    else:
        sys.exit(f"{name} does not say why")
    if "error" in values and values["error"] not in ERRORS:
        sys.exit(f"{values['error']}: no such error type")
    told = [text for key, text in (("next-hop", f"it had asked {values.get('next-hop')}"), ("details", f"it says: {values.get('details')}")) if key in values]
    return "; ".join([f"{name}: {reason}", *told])


field = os.fsencode(sys.argv[1])
try:
    members = http_sf.parse(field, tltype="list")
except http_sf.StructuredFieldError as error:
    sys.exit(f"no list: {error}")
if http_sf.ser(members) != field.decode("ascii"):
    sys.exit(f"not written as section 4.1 of RFC 9651 has it: {http_sf.ser(members)}")
read = []
for name, parameters in members:
    read.append([*typed(name), [[key, *typed(value)] for key, value in parameters.items()]])
    if wrong := [key for key, kind, _ in read[-1][2] if kind not in TYPES.get(key, ())]:
        sys.exit(f"parameters of a wrong type: {wrong}")
print(json.dumps(read, separators=(",", ":")))
for _, name, parameters in read:
    print(why(name, parameters))
