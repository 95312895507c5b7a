"""`fpaas metrics`: a run's Prometheus samples, kept and served again."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from fpaas.control import metrics_server
from fpaas.errors import BadInput
from fpaas.metrics import parse_listen


@click.command
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--listen", default="127.0.0.1:9091", show_default=True, metavar="HOST:PORT")
@click.option(
    "--prometheus",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The program. Default: the one on PATH, or Debian's package unpacked into .cache.",
)
def command(*, run_dir: Path, listen: str, prometheus: Path | None) -> None:
    """Serve a run's kept metrics in a Prometheus until Ctrl-C.

    RUN_DIR is a bundle, results/<run-id>, of a run with bench_keep_metrics=true. It is not changed.
    """
    _, port = parse_listen(listen)
    if port == 0:
        raise BadInput(f"--listen {listen}: port 0 cannot be opened in a browser; choose another")
    # It ends Prometheus, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kept = metrics_server.find(run_dir)
    with metrics_server.serve(kept, listen, prometheus) as server:
        click.echo(f"{run_dir}: {metrics_server.graph_url(server, kept.about)}\nCtrl-C ends it.")
        try:
            server.process.wait()
        except KeyboardInterrupt:
            sys.exit(0)
        raise server.ended()
