#!/usr/bin/env python3
"""A client of Waggle's push protocol, from the socket up, with Python's standard library alone.

    python3 push_client.py ws://127.0.0.1:7342/v1/push TOKEN tenant

prints each event once, in order, as one line of JSON; after a loss it reconnects and goes on where it was.
The numbered steps are those of docs/PROTOCOL.md, "A client in an afternoon".
"""

import base64
import hashlib
import json
import os
import random
import socket
import struct
import sys
import time
from urllib.parse import urlsplit


class Closed(Exception):
    """The connection has ended; code as in the protocol's table, 1006 without a close frame."""

    def __init__(self, code, reason):
        super().__init__(f"{code} {reason}")
        self.code = code


class WebSocket:
    """As much of RFC 6455 as a client of this protocol needs."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            (
                f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\n"
                f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Protocol: waggle.v1.json\r\n\r\n"
            ).encode()
        )
        while b"\r\n\r\n" not in self.received:
            self._more()
        head, self.received = self.received.split(b"\r\n\r\n", 1)
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1((key + guid).encode()).digest())
        if not head.startswith(b"HTTP/1.1 101 ") or accept not in head:
            raise Closed(4100, f"the handshake was refused: {head.decode(errors='replace')}")

    def _more(self):
        received = self.socket.recv(65536)
        if not received:
            raise Closed(1006, "the connection was lost")
        self.received += received

    def _frame(self):
        """Opcode and payload of the next frame; nothing is taken off before all of it is there."""
        while True:
            start, count = 2, self.received[1] if len(self.received) > 1 else None
            if count == 126:
                start, count = 4, int.from_bytes(self.received[2:4], "big") if len(self.received) > 3 else None
            elif count == 127:
                start, count = 10, int.from_bytes(self.received[2:10], "big") if len(self.received) > 9 else None
            if count is not None and len(self.received) >= start + count:
                opcode, payload = self.received[0] & 0xF, self.received[start : start + count]
                self.received = self.received[start + count :]
                return opcode, payload
            self._more()

    def send(self, payload, opcode=1):
        """One masked frame."""
        count = len(payload)
        if count < 126:
            head = struct.pack(">BB", 0x80 | opcode, 0x80 | count)
        else:
            head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, count)
        mask = os.urandom(4)
        self.socket.sendall(head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)))

    def say(self, **message):
        """One message."""
        self.send(json.dumps(message).encode())

    def hear(self, patience):
        """The next message; the server sends each in one frame."""
        self.socket.settimeout(patience)
        while True:
            opcode, payload = self._frame()
            if opcode == 1:
                return json.loads(payload)
            if opcode == 9:
                self.send(payload, 10)
            if opcode == 8:
                code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
                raise Closed(code, payload[2:].decode(errors="replace"))

    def close(self):
        """Says goodbye."""
        try:
            self.send(struct.pack(">H", 1000), 8)
        except OSError:
            pass
        self.socket.close()


class Client:
    """Events of some views, each once and in order, whatever connections do."""

    def __init__(self, url, token, views):
        self.url, self.token, self.views = url, token, views
        self.cursor = None
        self.link = None

    def connect(self):
        """Steps 1 and 2: a new connection, a hello with the cursor, and the welcome."""
        link = WebSocket(self.url)
        hello = {"type": "hello", "token": self.token, "views": self.views}
        if self.cursor:
            hello["resume"] = self.cursor
        link.say(**hello)
        welcome = link.hear(10)
        self.patience = welcome["heartbeat_ms"] / 1000 * 2
        self.window, self.unacknowledged, self.sent = welcome["window"], 0, 0
        if self.cursor is None:
            self.cursor = {"epoch": welcome["epoch"], "offset": welcome["offset"]}
        if self.link:
            self.link.close()
        self.link = link

    def events(self):
        """Yields events; a `resync` as well, after which tickets are to be read anew."""
        pause = 0.5
        while True:
            try:
                self.connect()
                pause = 0.5
                yield from self.listen()
            except Closed as closed:
                # Step 6: what the code says.
                if 4200 <= closed.code < 4300:
                    raise
                now = closed.code == 1006 or 4000 <= closed.code < 4100
                pause = 0.5 if now else min(pause * 2, 30)
            except OSError:
                pause = min(pause * 2, 30)
            self.link = None
            time.sleep(random.uniform(0, pause))

    def listen(self):
        """Steps 3 to 5, until the connection ends."""
        leave_at = None
        while True:
            if leave_at is not None and time.monotonic() >= leave_at:
                # Step 5: the new connection is there before the old one goes.
                self.connect()
                leave_at = None
            try:
                patience = self.patience if leave_at is None else max(0.01, leave_at - time.monotonic())
                message = self.link.hear(patience)
            except TimeoutError:
                if leave_at is None:
                    raise Closed(1006, "nothing was heard for two heartbeats") from None
                continue
            kind = message["type"]
            if kind == "event":
                self.sent += 1
                # Step 3: the cursor goes on only with what has been taken.
                self.unacknowledged += len(json.dumps(message))
                yield message
                self.cursor["offset"] = message["offset"]
                if self.unacknowledged > self.window / 4:
                    self.ack()
            elif kind == "mark":
                # Step 4: count, and answer.
                if message["sent"] != self.sent:
                    raise Closed(1006, "something was lost")
                self.cursor["offset"] = message["offset"]
                self.ack()
            elif kind == "resync":
                self.cursor = {"epoch": message["epoch"], "offset": message["offset"]}
                yield message
            elif kind == "drain":
                leave_at = time.monotonic() + random.uniform(0, message["after_ms"] / 1000 * 0.75)

    def ack(self):
        """All up to the cursor has been taken."""
        self.unacknowledged = 0
        self.link.say(type="ack", offset=self.cursor["offset"])


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        for event in Client(sys.argv[1], sys.argv[2], sys.argv[3:]).events():
            print(json.dumps(event, ensure_ascii=False), flush=True)
    except Closed as closed:
        sys.exit(f"closed: {closed}")
    except KeyboardInterrupt:
        pass
