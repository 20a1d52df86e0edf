#!/usr/bin/env bash
# The monitoring examples: rules that parse, that fire when they should and only then, and no metric in them that no
# station has.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=docs/monitoring

python3 - "$folder" <<'PYTHON'
import json, pathlib, re, sys

folder = pathlib.Path(sys.argv[1])
source = pathlib.Path("crates/diad/src/web/metrics.rs").read_text()
known = set(re.findall(r'"(diad_[a-z_]+)"', source))
known |= {f"{name}{end}" for name in known for end in ("_bucket", "_count", "_sum")}
dashboard = json.loads((folder / "grafana.json").read_text())
used = "\n".join(t["expr"] for panel in dashboard["panels"] for t in panel["targets"])
used += "\n".join(line for line in (folder / "alerts.yml").read_text().splitlines() if not line.lstrip().startswith("#"))
strangers = set(re.findall(r"\bdiad_[a-z_]+", used)) - known
if strangers or len(known) < 15:
    sys.exit(f"monitoring: no station has {sorted(strangers)}")

# Every rule has a test in which it fires and one in which it does not.
rules = re.findall(r"- alert: (\w+)", (folder / "alerts.yml").read_text())
tests = pathlib.Path("tests/monitoring/alerts_test.yml").read_text()
tried = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:( \[\])?\n", tests))
untried = [rule for rule in rules for end in ("", " []") if (rule, end) not in tried]
if untried or len(rules) < 12:
    sys.exit(f"monitoring: tests/monitoring/alerts_test.yml lacks a test that fires or one that does not: {untried}")
PYTHON

# Where scripts/setup.sh --tests puts it.
PATH=$PATH:$PWD/target/tools/usr/bin
if command -v promtool >/dev/null; then
    promtool check rules "$folder/alerts.yml"
    promtool test rules tests/monitoring/alerts_test.yml
    promtool check config --syntax-only "$folder/prometheus.yml"
else
    echo "skipped: promtool is not here (scripts/setup.sh --tests fetches it); it would check $folder"
fi
