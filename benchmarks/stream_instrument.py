"""An instrument on a TCP socket that does nothing but send samples: raw little-endian float64 rows of time, voltage and
current.

    *IDN?                           one line
    STREAM count interval paced     `count` rows, each at its time if paced is 1, else as fast as they are taken
    OFF                             ends the stream; answered by OFF

The time of a row is its number (from 1) times the interval. The voltage of an unpaced row is its number from 0, so that
whoever receives it can check every one; that of a paced row is the monotonic time at which it was handed to the socket.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from multiprocessing.connection import Connection

import numpy as np

CURRENT_A = 1e-12
_CHUNK_ROWS = 4096


def serve(pipe: Connection) -> None:
    """Sends the port, then serves one client after the other until the pipe says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pipe.send(listener.getsockname()[1])
        while True:
            if _told_to_end(listener, pipe):
                return
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not _converse(connection, pipe):
                    return


def _converse(connection: socket.socket, pipe: Connection) -> bool:
    """Until the client is gone; false if the pipe ended it."""
    received = b""
    while True:
        if _told_to_end(connection, pipe):
            return False
        try:
            data = connection.recv(4096)
        except ConnectionError:
            return True
        if not data:
            return True
        *lines, received = (received + data).split(b"\n")
        for line in lines:
            name, *arguments = line.decode("ascii").split()
            if name == "*IDN?":
                connection.sendall(b"picobridge,stream,1,1.0\n")
            elif name == "OFF":
                connection.sendall(b"OFF\n")
            elif name == "STREAM":
                count, interval_s, paced = int(arguments[0]), float(arguments[1]), arguments[2] == "1"
                try:
                    (_stream_paced if paced else _stream)(connection, count, interval_s)
                except ConnectionError:
                    return True


def _told_to_end(sock: socket.socket, pipe: Connection) -> bool:
    """Waits until one of the two has something to say."""
    ready, _, _ = select.select([sock.fileno(), pipe.fileno()], [], [])
    return pipe.fileno() in ready


def _asked(connection: socket.socket) -> bool:
    """Whether a command has come meanwhile, which can only be the end."""
    return bool(select.select([connection], [], [], 0)[0])


def _stream(connection: socket.socket, count: int, interval_s: float) -> None:
    rows = np.empty((_CHUNK_ROWS, 3))
    rows[:, 2] = CURRENT_A
    for first in range(0, count, _CHUNK_ROWS):
        last = min(first + _CHUNK_ROWS, count)
        index = np.arange(first, last, dtype=np.float64)
        part = rows[: last - first]
        part[:, 0] = (index + 1) * interval_s
        part[:, 1] = index
        connection.sendall(part.data.cast("B"))
        if _asked(connection):
            return


def _stream_paced(connection: socket.socket, count: int, interval_s: float) -> None:
    start = time.monotonic()
    for index in range(count):
        due = start + index * interval_s
        while (left := due - time.monotonic()) > 0:
            time.sleep(left)
        connection.sendall(struct.pack("<3d", (index + 1) * interval_s, time.monotonic(), CURRENT_A))
        if _asked(connection):
            return
