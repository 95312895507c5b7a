"""`python -m tests.fuzz [TARGET …]`: feeds bad bytes to whoever reads bytes from outside.

By atheris, which is led by the code that inputs reach, if that is installed (`make fuzz`
installs it); else by plain mutations. What was found is in .fuzz/<target>/, and exit status 1.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from tests.fuzz.mutation import mutated

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parents[2] / ".fuzz"
#: An input that takes longer hangs, a process that takes more leaks.
INPUT_TIMEOUT_S = 10
MEMORY_MAX_MB = 1500
INPUT_BYTES_MAX = 100_000

NAMES = sorted(path.name for path in CORPUS.iterdir())


@click.command()
@click.argument("names", metavar="[TARGET]…", nargs=-1, type=click.Choice(NAMES))
@click.option("--seconds", default=60.0, show_default=True, help="In all.")
@click.option("--engine", type=click.Choice(["atheris", "plain"]))
@click.option("--seed", default=0, help="Of plain mutations.")
@click.option("--input", "input_file", type=click.Path(path_type=Path), help="Try this one only.")
@click.option("--alone", is_flag=True, help="In this process; for one target.")
def main(
    names: tuple[str, ...],
    seconds: float,
    engine: str | None,
    seed: int,
    input_file: Path | None,
    *,
    alone: bool,
) -> None:
    """Fuzz TARGETs, or all."""
    engine = engine or ("atheris" if importlib.util.find_spec("atheris") else "plain")
    if input_file is not None:
        _function(names[0])(input_file.read_bytes())
    elif alone:
        _fuzz(names[0], seconds, engine, seed)
    else:
        _fuzz_each(names or tuple(NAMES), seconds, engine, seed)


def _fuzz_each(names: tuple[str, ...], seconds: float, engine: str, seed: int) -> None:
    failed = []
    for name in names:
        own = ("--seconds", str(seconds / len(names)), "--engine", engine, "--seed", str(seed))
        command = (sys.executable, "-m", "tests.fuzz", name, "--alone", *own)
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    click.echo(f"{engine}: {len(names)} targets, found something in {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


def _fuzz(name: str, seconds: float, engine: str, seed: int) -> None:
    (FOUND / name).mkdir(parents=True, exist_ok=True)
    if engine == "atheris":
        _by_atheris(name, seconds)
    else:
        _by_mutation(name, seconds, seed)


def _by_atheris(name: str, seconds: float) -> NoReturn:
    import atheris  # noqa: PLC0415

    with atheris.instrument_imports(include=["fpaas"]):
        function = _function(name)
    grown, found = FOUND / name / "corpus", FOUND / name / "found-"
    grown.mkdir(exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={max(1, round(seconds))}",
            f"-timeout={INPUT_TIMEOUT_S}",
            f"-rss_limit_mb={MEMORY_MAX_MB}",
            f"-max_len={INPUT_BYTES_MAX}",
            f"-artifact_prefix={found}",
            "-print_final_stats=1",
            str(grown),
            str(CORPUS / name),
        ],
        function,
    )
    atheris.Fuzz()
    sys.exit()


def _by_mutation(name: str, seconds: float, seed: int) -> None:
    function = _function(name)
    corpus = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    rng = random.Random(seed)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_MB * 2**20,) * 2)
    faulthandler.enable()
    signal.signal(signal.SIGALRM, _hangs)
    until_s = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < until_s or tried < len(corpus):
        data = corpus[tried] if tried < len(corpus) else mutated(rng, corpus)
        tried += 1
        signal.alarm(INPUT_TIMEOUT_S)
        try:
            function(data)
        except BaseException:
            path = FOUND / name / f"found-{seed}-{tried}"
            path.write_bytes(data)
            click.echo(f"{name}: found after {tried} inputs; to try it again:", err=True)
            click.echo(f"  python -m tests.fuzz {name} --input {path}", err=True)
            raise
        finally:
            signal.alarm(0)
    click.echo(f"{name}: {tried} inputs")


def _function(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from tests.fuzz import targets  # noqa: PLC0415 - atheris instruments what it imports

    return targets.TARGETS[name]


def _hangs(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise TimeoutError(f"hangs for {INPUT_TIMEOUT_S} s")


if __name__ == "__main__":
    main()
