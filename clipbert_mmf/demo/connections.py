"""Serves the page by waitress with limits that waitress lacks: connections of a client, and time for a request.

A connection that only waits costs nothing, but the server holds a limited number of them: a client that opens many
and sends a byte now and then would keep all others out.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from typing import Any, cast

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

#: Seconds in which the header of a request must be there.
HEADER_SEC = 10.0
#: Seconds that a body may take, whatever its size; after that it must have come at ``MIN_BYTES_PER_SEC``.
BODY_SEC = 30.0
MIN_BYTES_PER_SEC = 20_000
#: Connections of one client, and of all; of more, the oldest that waits is closed.
MAX_OF_CLIENT = 32
MAX_CONNECTIONS = 256


class TimedChannel(HTTPChannel):
    """A connection that knows since when its present request is on its way."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.request_began, self.request_bytes = time.time(), 0
        super().__init__(*arguments, **options)

    def received(self, data: bytes) -> bool:
        """Take bytes of a request."""
        if self.request is None:
            self.request_began, self.request_bytes = time.time(), 0
        self.request_bytes += len(data)
        return super().received(data)

    @property
    def is_waiting(self) -> bool:
        """Whether nothing of it is being worked on."""
        return not self.requests and not self.will_close

    def is_late(self, now: float) -> bool:
        """Return whether the present request takes longer than it may."""
        request, seconds = self.request, now - self.request_began
        if request is None:  # before the first byte; later ones are waitress's own matter
            return self.request_bytes == 0 and seconds > HEADER_SEC
        if not request.headers_finished:
            return seconds > HEADER_SEC
        return seconds > BODY_SEC and self.request_bytes < MIN_BYTES_PER_SEC * seconds


class LimitedServer(TcpWSGIServer):
    """Listens on one address."""

    channel_class = TimedChannel

    def handle_accept(self) -> None:
        """Take a connection, and close the oldest that waits where there are too many."""
        before = set(self._channels)
        super().handle_accept()
        for channel in set(self._channels) - before:
            client, channels = channel.addr[0], self._channels
            _close_oldest([one for one in channels if one.addr[0] == client], MAX_OF_CLIENT)
            _close_oldest(channels, MAX_CONNECTIONS)

    @property
    def _channels(self) -> list[TimedChannel]:
        return list(cast(dict[int, TimedChannel], self.active_channels).values())

    def maintenance(self, now: float) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # stubs say int
        """Close connections that are idle for long, as waitress does, and those whose request is late."""
        super().maintenance(int(now))
        for channel in self._channels:
            if channel.is_waiting and channel.is_late(now):
                channel.will_close = True


def _close_oldest(channels: list[TimedChannel], limit: int) -> None:
    open_ones = [channel for channel in channels if not channel.will_close]
    waiting = [channel for channel in open_ones if channel.is_waiting]
    # One that is being answered goes last.
    waiting.sort(key=lambda channel: (bool(channel.total_outbufs_len), channel.request_began))
    for channel in waiting[: max(0, len(open_ones) - limit)]:
        channel.will_close = True


class PageServer:
    """Listens on every address of a host name; ``run`` serves.

    Args:
        app: the WSGI application.
        host: name or address.
        port: 0 takes any free one.
        num_threads: requests that are worked on at a time.
        max_body_bytes: a larger body ends the connection.

    Raises:
        OSError: if an address cannot be bound.
    """

    def __init__(self, app: Any, host: str, port: int, num_threads: int, max_body_bytes: int) -> None:
        try:
            self._settings = Adjustments(
                host=host,
                port=port,
                threads=num_threads,
                max_request_body_size=max_body_bytes,
                ident=None,
                connection_limit=4 * MAX_CONNECTIONS,
                channel_timeout=60,
                cleanup_interval=1,
                asyncore_use_poll=True,
            )
        except ValueError as error:  # waitress's word for a host that has no address
            raise OSError(str(error)) from error
        self.task_dispatcher = ThreadedTaskDispatcher()
        self.task_dispatcher.set_thread_count(num_threads)
        self._map: dict[int, Any] = {}
        try:
            self.servers = [
                LimitedServer(
                    app, self._map, dispatcher=self.task_dispatcher, adj=self._settings, sockinfo=place
                )
                for place in _list_places(self._settings.listen)
            ]
        except OSError:
            self.close()
            raise

    @property
    def effective_port(self) -> int:
        """Port of the first address."""
        return int(cast(Any, self.servers[0]).effective_port)

    def run(self) -> None:
        """Serve until ``KeyboardInterrupt`` or ``SystemExit``."""
        try:
            wasyncore.loop(timeout=1, map=self._map, use_poll=True)
        except (SystemExit, KeyboardInterrupt):
            self.close()

    def close(self) -> None:
        """Close all connections; requests that are worked on end first."""
        self.task_dispatcher.shutdown()
        wasyncore.close_all(self._map)


def _list_places(places: Iterable[Any]) -> list[Any]:
    """Return the addresses to listen on; with port 0, the first alone: the others would get other ports."""
    listed = sorted(places, key=lambda place: place[0] != socket.AF_INET)
    return listed[:1] if listed and listed[0][3][1] == 0 else listed
