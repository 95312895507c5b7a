"""Shared by all dashboards: variables, annotations, and the look of panels.

Prometheus gives every series the host that it is of. The probe of each host serves `fpaas_run_info`
beside them, which tells of what run they are: `of_run` keeps what the variables ask for.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

TAG = "fpaas"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
RUN = 'fpaas_run_info{run_id="$run_id",host=~"$host"}'
#: At least four scrapes, and as long as a pixel of the panel.
WINDOW = "$__rate_interval"
#: Width in a dashboard's 24 columns, and height in its rows.
WIDTH, HEIGHT, SMALL_HEIGHT = 12, 8, 4

LINES, VALUE, STATES = "lines", "value", "states"


@dataclass(frozen=True)
class Panel:
    """A panel: its queries, by legend, and Grafana's unit of the answer."""

    title: str
    unit: str
    queries: Mapping[str, str]
    about: str = ""
    #: `lines` over time, the latest `value` only, or 0 and 1 as `states`.
    looks: str = LINES


@dataclass(frozen=True)
class Board:
    """A dashboard; `rows` are panels by heading."""

    uid: str
    title: str
    about: str
    rows: Mapping[str, Sequence[Panel]] = field(default_factory=dict)


def of_run(series: str) -> str:
    """Keep what is of the run and the hosts that the variables say; each series has its host."""
    return f"({series} and on (host) {RUN})"


def total(name: str, by: str = "", labels: str = "", together: str = "sum") -> str:
    """Add up a gauge of the run."""
    return f"{together}{_by(by)}({of_run(name + _braces(labels))})"


def rate(name: str, by: str = "", labels: str = "") -> str:
    """Add up the rates of a counter of the run, per second."""
    return f"sum{_by(by)}({of_run(f'rate({name}{_braces(labels)}[{WINDOW}])')})"


def quantiles(name: str, *, by: str = "") -> dict[str, str]:
    """Return p50, p90 and p99 of a histogram of the run, by legend."""
    buckets = rate(f"{name}_bucket", by=f"le, {by}" if by else "le")
    legend = f"{{{{{by}}}}} " if by else ""
    return {
        f"{legend}p{percent}": f"histogram_quantile({percent / 100:g}, {buckets})"
        for percent in (50, 90, 99)
    }


def or_zero(series: str, there: str) -> str:
    """Return 0 if nothing was counted by labels yet, but its counter is `there`."""
    return f"{series} or on () 0 * {there}"


def to_json(board: Board) -> str:
    """Return the file that Grafana reads."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .readonly()
        .refresh("5s")
        .time("now-15m", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables(_variables())
        .annotation(_Annotation("Fault begins", "red", "begin"))
        .annotation(_Annotation("Fault undone", "green", "end"))
        .link(
            dashboard.DashboardLink("Dashboards of this run")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
    )
    number = 0
    for heading, panels in board.rows.items():
        made = made.with_row(dashboard.Row(heading))
        for panel in panels:
            number += 1
            made = made.with_panel(_built(panel, number))
    return JSONEncoder(indent=1, sort_keys=True).encode(made.build()) + "\n"


def expressions(text: str) -> dict[str, str]:
    """Return what a dashboard's file asks Prometheus, by `panel: legend`, annotations included.

    Raises ValueError if two are of one name.
    """
    content = json.loads(text)
    found = {one["name"]: one["expr"] for one in content["annotations"]["list"] if "expr" in one}
    for panel in content["panels"]:
        for target in panel.get("targets", ()):
            name = f"{panel['title']}: {target['legendFormat']}"
            if name in found:
                raise ValueError(f"{content['title']} has two of {name!r}; tell them apart")
            found[name] = target["expr"]
    return found


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""


def _braces(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""


def _variables() -> list[typing.Any]:
    def values(name: str, label: str, query: str) -> dashboard.QueryVariable:
        return (
            dashboard.QueryVariable(name)
            .label(label)
            .datasource(SOURCE)
            .query(query)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        )

    return [
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        # Ids begin with the time: the newest comes first.
        values("run_id", "Run", "label_values(fpaas_run_info, run_id)").sort(
            models.VariableSort.ALPHABETICAL_DESC
        ),
        values("host", "Host", 'label_values(fpaas_run_info{run_id="$run_id"}, host)')
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".+"),
    ]


class _FaultQuery(models.AnnotationQuery):
    """An annotation at the time that the series has, whenever it was scraped."""

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            "useValueForTime": True,
            "titleFormat": self.name,
            "textFormat": "{{do}} on {{on}} (fault {{fault}}, {{host}})",
            "tagKeys": "do,on",
        }


class _Annotation(dashboard.AnnotationQuery):
    def __init__(self, name: str, color: str, time: str) -> None:
        super().__init__()
        # In milliseconds.
        series = f'fpaas_run_fault_{time}_timestamp_seconds{{run_id="$run_id"}} * 1000'
        self._internal = _FaultQuery(name=name, datasource=SOURCE, icon_color=color, expr=series)


def _built(panel: Panel, number: int) -> typing.Any:  # noqa: ANN401  (any panel's builder)
    is_small = panel.looks == VALUE
    looks: dict[str, typing.Any] = {
        LINES: timeseries.Panel,
        VALUE: stat.Panel,
        STATES: statetimeline.Panel,
    }
    made = looks[panel.looks]()
    made = (
        made.id(number)
        .title(panel.title)
        .description(panel.about)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(WIDTH // 2 if is_small else WIDTH)
        .height(SMALL_HEIGHT if is_small else HEIGHT)
    )
    if panel.looks == LINES:
        made = (
            made.min(0)
            .fill_opacity(8)
            .show_points(common.VisibilityMode.NEVER)
            .legend(
                common_builders.VizLegendOptions()
                .display_mode(common.LegendDisplayMode.TABLE)
                .placement(common.LegendPlacement.BOTTOM)
                .show_legend(show_legend=True)
                .calcs(["mean", "max", "lastNotNull"])
            )
            .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        )
    if panel.looks == STATES:
        made = made.mappings(
            [
                models.ValueMap(
                    options={
                        "0": models.ValueMappingResult(text="no", color="transparent"),
                        "1": models.ValueMappingResult(text="yes", color="blue"),
                    }
                )
            ]
        )
    for place, (legend, expression) in enumerate(panel.queries.items()):
        made = made.with_target(
            prometheus.Dataquery()
            .ref_id(chr(ord("A") + place))
            .range()
            .expr(expression)
            .legend_format(legend)
        )
    return made
