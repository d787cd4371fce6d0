"""The tests that are marked `gpu`: how many passed, failed and were skipped, and the first lines of what failed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from benchmarks.gpu.card import Kept, arguments
from benchmarks.parts import LEFT_OUT
from benchmarks.peer.turns import ROOT

MARK = "pytest.mark.gpu"
TOLD = 5


def files() -> list[str]:
    """Those that have such tests: collecting the others would import packages that these do without."""
    here = "tests/benchmarks"
    found = [path for path in (ROOT / "tests").rglob("test_*.py") if MARK in path.read_text()]
    return sorted(str(path.relative_to(ROOT)) for path in found if here not in str(path))


def main() -> None:
    given = arguments(__doc__)
    if importlib.util.find_spec("pytest") is None:
        print(f"{LEFT_OUT}pytest is not installed")
        return
    kept = Kept(given.json)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}", *files()]
        plugins = [] if importlib.util.find_spec("pytest_timeout") else ["-o", "timeout=", "-W", "ignore"]
        subprocess.run([*command, *plugins], cwd=ROOT)
        suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    tests, failures, errors, skipped = (int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped"))
    kept.add("passed", tests - failures - errors - skipped, "tests")
    kept.add("failed", failures, "tests")
    kept.add("could not begin", errors, "tests")
    kept.add("skipped", skipped, "tests")
    bad = [(case.get("name", ""), case.find(kind)) for case in suite.iter("testcase") for kind in ("failure", "error")]
    for name, found in [(name, found) for name, found in bad if found is not None][:TOLD]:
        kept.add(name, (found.get("message") or "").splitlines()[0][:200])


if __name__ == "__main__":
    main()
