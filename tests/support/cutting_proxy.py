"""A TCP link to NATS that breaks, or carries only one way."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class CuttingProxy(threading.Thread):
    """Forwards TCP to a server; `cut` swallows what the server sends for a while, then hangs up."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._swallowing = False

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._pairs.append((client, server))
                for pair in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, to_client: bool) -> None:  # noqa: FBT001
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not (to_client and self._swallowing):
                    sink.sendall(data)

    def cut(self, swallow_s: float) -> None:
        self._swallowing = True
        time.sleep(swallow_s)
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._swallowing = False

    def close(self) -> None:
        self._listener.close()
        self.cut(0)
