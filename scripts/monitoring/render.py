#!/usr/bin/env python3
"""Makes what Kubernetes wants of the plain files in deploy/monitoring: the PrometheusRule of the rules, the ConfigMap of the
dashboard, and what the chart's templates include of both. With --check it writes nothing and fails where what stands there is not what would be made."""

import pathlib
import sys

DEPLOY = pathlib.Path(__file__).resolve().parent.parent.parent / "deploy"
HERE = DEPLOY / "monitoring"
NOTE = "# Made by scripts/monitoring/render.py of {source}; edit that.\n"


def indented(text, blanks):
    return "".join(" " * blanks + line if line.strip() else line for line in text.splitlines(keepends=True))


def rule():
    source = (HERE / "almadia.rules.yaml").read_text()
    groups = source[source.index("groups:"):]
    head = """apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: almadia
  labels:
    app.kubernetes.io/name: almadia
spec:
"""
    return NOTE.format(source="almadia.rules.yaml") + head + indented(groups, 2)


def dashboard():
    source = (HERE / "almadia.dashboard.json").read_text()
    head = """apiVersion: v1
kind: ConfigMap
metadata:
  name: almadia-dashboard
  labels:
    app.kubernetes.io/name: almadia
    grafana_dashboard: "1"
data:
  almadia.json: |
"""
    return NOTE.format(source="almadia.dashboard.json") + head + indented(source, 4)


def chart_rules():
    source = (HERE / "almadia.rules.yaml").read_text()
    return source[source.index("groups:"):]


def main():
    made = {
        "monitoring/prometheusrule.yaml": rule(),
        "monitoring/dashboard-configmap.yaml": dashboard(),
        "chart/files/almadia.rules.yaml": chart_rules(),
        "chart/files/almadia.dashboard.json": (HERE / "almadia.dashboard.json").read_text(),
    }
    stale = [name for name, text in made.items() if not (DEPLOY / name).exists() or (DEPLOY / name).read_text() != text]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"deploy/{name} is not what scripts/monitoring/render.py makes: run it")
        return 1 if stale else 0
    for name in stale:
        (DEPLOY / name).parent.mkdir(exist_ok=True)
        (DEPLOY / name).write_text(made[name])
        print(f"wrote deploy/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
