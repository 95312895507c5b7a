"""A run as a screen, and as one line, for a terminal. Pure but for rich, which draws."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fpaas.digits import significant
from fpaas.latency.lower_bounds import marked
from fpaas.legible import legible
from fpaas.live.standing import DANGER, MISSED, Goal
from fpaas.live.view import View
from fpaas.text import sparks
from fpaas.text.bars import bar, clock
from fpaas.verdict import goals

NOTHING = "-"
#: Of goals that are named, by their state.
GOAL_STYLES = {MISSED: "bold red", "not met": "bold red", "missed": "bold red", DANGER: "magenta"}
#: Figures have this much room beside their sparks.
FLOW_FIGURES_WIDTH = 34
#: Hosts' names have this much room beside the ledger on a small screen.
HOST_WIDTH = 12
#: On fewer columns, what stands side by side has no room: it stands below one another.
SIDES_FROM = 76
#: From here on halves are wide enough for all.
EVEN_FROM = 100
#: How such a screen's columns are shared, with what keeps the two apart: latencies may be of six
#: digits, lags of seven.
TIGHT_LATENCIES, TIGHT_LEDGER = (44, 36), (3, 2)
#: Agents' counters are up to a second old, and what is said of NATS may be older.
AGE_SAID_S = 2.0
#: Lines that everything but events takes on a small screen.
EVENTS_MIN = 2


def draw(view: View, console: Console) -> Group:
    """Draw everything for a screen; what has no room is left out from the end."""
    width, height = console.size
    is_tight = SIDES_FROM <= width < EVEN_FROM
    hosts = _hosts(view, max(2, height // 4 - 2), HOST_WIDTH if is_tight else width // 2 - 20)
    head = Text(f"{view.run.scenario.title or view.run.scenario.name}  ", style="bold")
    head.append(view.run.run_id, style="dim")
    blocks: list[RenderableType] = [
        head,
        _progress(view, width),
        _flows(view, width),
        *_sides(width, _latencies(view), _nats(view), TIGHT_LATENCIES if is_tight else (1, 1)),
        *_sides(width, _ledger(view), hosts, TIGHT_LEDGER if is_tight else (1, 1)),
        _goals(view),
    ]
    used = sum(len(console.render_lines(block)) for block in blocks)
    # Its heading takes a line, and the prompt after the end another one.
    blocks.append(_events(view, max(EVENTS_MIN, height - used - 2)))
    return Group(*blocks)


def line(view: View) -> str:
    """Write the run as one line, for logs."""
    rates = ", ".join(
        f"{flow.name} {_count(flow.total)}"
        # There is no rate of the window for what was read.
        + ("" if view.verdict and flow.per_s is None else f" ({_count(flow.per_s)}/s)")
        for flow in view.flows
    )
    latencies = "".join(
        f", {one.name} p99 {_ms(one.p99_ms, at_least=one.at_least[1])} ms" for one in view.latencies
    )
    troubles = "".join(
        f"; {problem}" for problem in [*map(_goal, _goals_to_name(view)), *view.problems]
    )
    state = view.verdict.upper() or view.phase
    elapsed = max(0.0, min(view.elapsed_s, view.total_s))
    return (
        f"{elapsed:.0f} s of {view.total_s:.0f} s, {state}: {rates}{latencies}, "
        f"lag at most {_count(view.lag_max)} messages"
        f"{f' ({age})' if (age := _age(view)) else ''}{_load(view)}{troubles}"
    )


def _age(view: View) -> str:
    """Say how old NATS's figures are, if they are older than those that they stand beside."""
    if view.nats_age_s is None or view.nats_age_s < AGE_SAID_S:
        return ""
    return f"{view.nats_age_s:.0f} s ago"


def _load(view: View) -> str:
    """Write how busy NATS and hosts are now; what they were in a run's last second tells little."""
    if view.verdict:
        return ", rates and latencies of its window"
    nats = _use(view.processes.get("nats")).replace(" |", ",")
    busiest = max((host.cpu_pct for host in view.hosts if host.cpu_pct is not None), default=None)
    return f", NATS {nats}" + ("" if busiest is None else f", busiest host {busiest:.0f} %")


def event_line(at_s: float, words: str) -> str:
    """Write when an event began, and what it was, in one line."""
    return f"{at_s:7.1f} s  {words}"


def _progress(view: View, width: int) -> Text:
    left_s = max(0.0, view.total_s - max(0.0, view.elapsed_s))
    state = view.verdict.upper() or view.phase
    style = {"PASS": "bold green", "FAIL": "bold red", "INVALID": "bold magenta"}.get(state, "bold")
    text = Text(f"{state:<10}", style=style)
    text.append(bar(view.elapsed_s / view.total_s, max(10, width - 32)), style="cyan")
    text.append(" over" if view.verdict else "" if view.is_over else f" {clock(left_s)} left")
    return text


def _flows(view: View, width: int) -> Table:
    table = _table("", "so far", "window /s" if view.verdict else "/s now", "/s")
    room = max(8, width - FLOW_FIGURES_WIDTH)
    for flow in view.flows:
        spark = Text(sparks.line(flow.rates, room, 0.0), style="cyan")
        table.add_row(flow.name, _count(flow.total), _count(flow.per_s), spark)
    return table


def _latencies(view: View) -> Table:
    if view.verdict:
        table = _table("window, ms", "p50", "p99")
        for one in view.latencies:
            p50, p99 = one.at_least
            cells = _ms(one.p50_ms, at_least=p50), _ms(one.p99_ms, at_least=p99)
            table.add_row(one.name, *cells)
        return table
    table = _table("last 10 s, ms", "p50", "p99", "open")
    for one in view.latencies:
        table.add_row(one.name, _ms(one.p50_ms), _ms(one.p99_ms), _count(one.open_count))
    if not view.latencies:
        table.add_row("no samples yet", "", "", "")
    return table


def _nats(view: View) -> Table:
    age = _age(view)
    table = _table("NATS at the end" if view.verdict else "NATS", age and f"stream, lag {age}")
    cpu_and_rss = view.processes.get("nats")
    table.add_row("CPU | RSS", _use(cpu_and_rss))
    table.add_row("stream", f"{_count(view.stream_messages)} | {_mb(view.stream_mb)}")
    table.add_row("lag p50 | max", f"{_count(view.lag_p50)} | {_count(view.lag_max)}")
    return table


def _ledger(view: View) -> Table:
    table = _table("ledger", "", "", "")
    names = list(view.ledger)
    for at in range(0, len(names), 2):
        table.add_row(
            *(cell for name in names[at : at + 2] for cell in (name, _count(view.ledger[name])))
        )
    return table


def _hosts(view: View, most: int, name_width: int) -> Table:
    table = _table("host at the end" if view.verdict else "host", "CPU", "memory")
    for host in view.hosts[:most]:
        cpu = NOTHING if host.cpu_pct is None else f"{host.cpu_pct:.0f} %"
        style = "bold red" if host.cpu_pct is not None and host.cpu_pct > 95 else ""
        table.add_row(legible(host.name, name_width), Text(cpu, style=style), _mb(host.mem_mb))
    if len(view.hosts) > most:
        table.add_row(f"and {len(view.hosts) - most} more", "", "")
    return table


def _goals(view: View) -> Text:
    text = Text("goals  ", style="bold")
    counts: dict[str, int] = {}
    for goal in view.goals:
        counts[goal.state] = counts.get(goal.state, 0) + 1
    text.append(", ".join(f"{count} {state}" for state, count in counts.items()) or "none")
    for goal in _goals_to_name(view)[:3]:
        text.append(f"\n  {_goal(goal)}", style=GOAL_STYLES[goal.state])
    return text


def _goals_to_name(view: View) -> list[Goal]:
    return [goal for goal in view.goals if goal.state in GOAL_STYLES]


def _goal(goal: Goal) -> str:
    measured = NOTHING
    if goal.measured is not None:
        measured = marked(goals.written(goal.measured, ""), at_least=goal.at_least)
    return f"{goal.name} {goals.written(goal.limit, '')}: {measured} {goal.state}"


def _events(view: View, most: int) -> Text:
    text = Text("events ", style="bold")
    lines = [(f"  {problem}", "bold red") for problem in view.problems[:most]]
    room = most - len(lines)
    if room:
        lines += [(f"  {event_line(*event)}", "") for event in view.events[-room:]]
    if not lines:
        text.append("none", style="")
    for words, style in lines:
        text.append(f"\n{words}", style=style or "not bold")
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text


def _table(*heads: str) -> Table:
    table = Table(
        box=None, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 2, 0, 0)
    )
    for at, head in enumerate(heads):
        is_last_spark = at == len(heads) - 1 and head == "/s"
        table.add_column(
            head, justify="left" if at == 0 or is_last_spark else "right", no_wrap=True
        )
    return table


def _sides(
    width: int, left: Table, right: Table, ratio: tuple[int, int] = (1, 1)
) -> list[RenderableType]:
    if width < SIDES_FROM:
        return [left, right]
    both = Table.grid(expand=True, padding=(0, 3, 0, 0))
    for share in ratio:
        both.add_column(ratio=share)
    both.add_row(left, right)
    return [both]


def _count(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _ms(value: float | None, *, at_least: bool = False) -> str:
    if value is None:
        return NOTHING
    # There is no room for more.
    return marked(significant(value), at_least=at_least).replace(" ", "")


def _mb(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f} MB"


def _use(cpu_and_rss: tuple[float, float] | None) -> str:
    if cpu_and_rss is None:
        return NOTHING
    return f"{cpu_and_rss[0]:.0f} % | {_mb(cpu_and_rss[1])}"
