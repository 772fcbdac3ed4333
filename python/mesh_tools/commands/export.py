"""Serves the statistics of all programs that run Mesh to Prometheus, over HTTP.

One gauge or counter for each figure of docs/statistics.md, under the name that stands there, with
labels pid and command. Read when they are asked for; nothing runs in the programs. Loopback by
default: anybody who reaches the port can read the figures. Ends with Ctrl-C or SIGTERM.
"""

import argparse
import signal
from collections.abc import Iterable

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .. import command_line, processes, statistics_table

_LABELS = ("pid", "command")
_LARGEST_PORT = 65535


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("--port", type=int, default=9464, help="default 9464; 0: any free one")
    parser.add_argument("--address", default="127.0.0.1", help="default 127.0.0.1")


def run(arguments: argparse.Namespace) -> int:
    """Serves until it is told to end."""
    if not 0 <= arguments.port <= _LARGEST_PORT:
        raise command_line.UsageError(f"--port takes 0 to {_LARGEST_PORT}")
    registry = prometheus_client.CollectorRegistry()
    registry.register(MeshCollector())
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        server, thread = prometheus_client.start_http_server(
            arguments.port, arguments.address, registry
        )
    except OSError as error:
        raise command_line.UsageError(
            f"cannot serve at {arguments.address}:{arguments.port}: {error.strerror}"
        ) from error
    host, port = server.server_address[:2]
    print(f"serving http://{host!s}:{port}/metrics", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    server.shutdown()
    thread.join()
    return 0


def metric_name(name: str) -> str:
    """Returns what a statistic is called here; counters get _total behind it."""
    return "mesh_" + name.removeprefix("mesh_")


class MeshCollector(Collector):
    """Looks at all processes whenever somebody asks."""

    def __init__(self) -> None:
        self._scanner = processes.Scanner()

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: registering must not look at any process."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Yields every figure of every process."""
        observed = self._scanner.observe()
        for row in (*statistics_table.PROCESS, *statistics_table.DERIVED):
            kind = CounterMetricFamily if row.counts else GaugeMetricFamily
            metric = kind(metric_name(row.name), f"{row.sentence} [{row.unit}]", labels=_LABELS)
            for seen in observed:
                value = getattr(seen.snapshot, row.name)
                metric.add_metric([str(seen.pid), seen.command], value)
            yield metric
        yield from self._of_classes(observed)

    def _of_classes(self, observed: list[processes.Observed]) -> Iterable[Metric]:
        for row in statistics_table.CLASS:
            if row.name == "object_size":
                continue  # It is the label.
            metric = GaugeMetricFamily(
                f"mesh_class_{row.name}",
                f"{row.sentence} [{row.unit}]",
                labels=(*_LABELS, "index", "object_size"),
            )
            for seen in observed:
                for index, found in enumerate(seen.snapshot.classes):
                    if found.spans:
                        labels = [str(seen.pid), seen.command, str(index), str(found.object_size)]
                        metric.add_metric(labels, getattr(found, row.name))
            yield metric
