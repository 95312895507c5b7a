"""Grafana dashboards of a run, made from one source: `python -m tools.dashboards`."""
