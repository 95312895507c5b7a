"""A TCP link with a delay each way and no limit to its throughput, in a process of its own.

Threads, because event loops wake up by the millisecond and this delays by half of one:
`python -m benchmarks._delaying_link PORT HOST PORT DELAY_MS`.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
import time

CHUNK_BYTES = 256 * 1024


def carry(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    """Carry bytes one way until either end closes."""
    under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def deliver() -> None:
        with contextlib.suppress(OSError):
            while True:
                due_s, data = under_way.get()
                left_s = due_s - time.monotonic()
                if left_s > 0:
                    time.sleep(left_s)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)

    threading.Thread(target=deliver, daemon=True).start()
    data = b"-"
    while data:
        try:
            data = source.recv(CHUNK_BYTES)
        except OSError:
            data = b""
        under_way.put((time.monotonic() + delay_s, data))


def main(listen_port: int, host: str, port: int, delay_s: float) -> None:
    with socket.create_server(("127.0.0.1", listen_port)) as listener:
        while True:
            near, _ = listener.accept()
            far = socket.create_connection((host, port))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=carry, args=(source, target, delay_s), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]) / 1e3)
