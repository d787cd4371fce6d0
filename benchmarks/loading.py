"""What reading runs costs: seconds and peak memory from SQLite, from the cache, an archive and a tracking server.

    python benchmarks/loading.py [runs=1000] [steps=300] [metrics=30] [folder] [--csv FILE] [--seconds S] [--tiny]

The store is MLflow's own schema, filled by SQL with random values; two trials write at a time, as in a real sweep. It
is kept where a folder is given (9 million points take 3 GB and some minutes to write) and used again. Every reading is
a process of its own, its imports included; where other programs share the machine its CPU seconds say more. With --csv,
as `make bench` calls it, 200 runs, and what is cached is read again until the seconds are over.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.results import PEAK, PROCESSOR, WALL, Writer
from trainer import keys
from trainer.keys import EXPERIMENT

SWEEP = "synthetic"
SERVED_RUNS = 100
AT_A_TIME = 2
PARAMS = 80  # beside those that matter here; a trial of the project has 88
START_MS = 1_700_000_000_000
READ = """
import resource, sys, time
from pathlib import Path
given, runs_dir, uri, target = sys.argv[1:]
begun = time.perf_counter()
from analysis.runs.source import open_source
runs = open_source(given, Path(runs_dir), uri)
seconds = time.perf_counter() - begun
used = resource.getrusage(resource.RUSAGE_SELF)
print(len(runs.metrics), seconds, time.process_time(), used.ru_maxrss / 2**20)
if target:
    from analysis.runs.archive import write_archive
    write_archive(Path(target), [runs])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("runs", "steps", "metrics"):
        parser.add_argument(name, type=int, nargs="?")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    usual = (2, 5, 2) if given.tiny else (200, 300, 30) if given.csv else (1000, 300, 30)
    asked = (given.runs, given.steps, given.metrics)
    runs, steps, metrics = (size if number is None else number for number, size in zip(asked, usual, strict=True))
    deadline = time.monotonic() + given.seconds
    with tempfile.TemporaryDirectory() as scratch:
        table = Costs(None if given.csv is None else Writer(given.csv, "loading"), Path(scratch))
        uri = make_store(given.folder or Path(scratch), runs, steps, metrics)
        table.read(f"SQLite, {runs} runs, first time", SWEEP, uri, archive=True)
        while table.read(f"SQLite, {runs} runs, cached", SWEEP, uri) and time.monotonic() < deadline:
            table.read(f"archive, {runs} runs", str(table.archive), uri)
        if given.csv is None:
            print(f"the archive takes {table.archive.stat().st_size / 1e6:.0f} MB")
            table.read(f"archive, {runs} runs", str(table.archive), uri)
            with server(make_store(given.folder or Path(scratch), SERVED_RUNS, steps, metrics)) as served:
                table.read(f"server, {SERVED_RUNS} runs, first time", SWEEP, served)
                table.read(f"server, {SERVED_RUNS} runs, cached", SWEEP, served)


class Costs:
    """The table, printed line by line, and written where there is a file for it. `scratch` has cache and archive."""

    def __init__(self, write: Writer | None, scratch: Path) -> None:
        self._write, self._cache = write, scratch / "runs"
        self.archive = scratch / "synthetic.zip"
        self._rounds: Counter[str] = Counter()
        self._show("read from", "points", "seconds", "CPU seconds", "peak GiB")

    def read(self, what: str, given: str, uri: str, archive: bool = False) -> bool:
        """Reads in a process of its own, which then writes the archive, where one is asked for, outside of the time."""
        command = [sys.executable, "-c", READ, given, str(self._cache), uri, str(self.archive) if archive else ""]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
        points, wall, processor, peak = map(float, done.stdout.split())
        self._show(what, f"{int(points):,}", *(f"{cost:.2f}" for cost in (wall, processor, peak)))
        self._rounds[what] += 1
        if self._write is not None:
            found = {"points": ("", points), WALL: ("s", wall), PROCESSOR: ("s", processor), PEAK: ("MiB", 1024 * peak)}
            self._write.add_all(what, "", found, self._rounds[what])
        return True

    @staticmethod
    def _show(what: str, points: str, *costs: str) -> None:
        print(f"{what:<32}{points:>12}" + "".join(f"{cost:>13}" for cost in costs), flush=True)


@contextmanager
def server(store: str) -> Iterator[str]:
    """MLflow's own tracking server over a store, while the block runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=quiet, stderr=quiet)
    try:
        _wait(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait(address: str, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"{address} did not answer within {seconds:.0f} s")


def make_store(folder: Path, runs: int, steps: int, metrics: int) -> str:
    """A SQLite store with one sweep, written once; returns its address."""
    file = folder / f"{runs}x{steps}x{metrics}" / "mlflow.db"
    uri = f"sqlite:///{file}"
    if file.is_file():
        return uri
    from mlflow import MlflowClient

    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    experiment = MlflowClient(f"sqlite:///{partial}").create_experiment(EXPERIMENT, str(file.parent / "mlartifacts"))
    with closing(sqlite3.connect(partial)) as database:
        for setting in ("journal_mode=off", "synchronous=off", "cache_size=-1000000"):
            database.execute(f"PRAGMA {setting}")
        _fill(database, int(experiment), runs, steps, metrics)
        database.commit()
    partial.rename(file)
    return uri


def _fill(database: sqlite3.Connection, experiment: int, runs: int, steps: int, metrics: int) -> None:
    rng = random.Random(0)
    names = [f"section_{index % 6}/metric_{index}" for index in range(metrics)]
    database.execute("CREATE TEMP TABLE names (key TEXT)")
    database.executemany("INSERT INTO names VALUES (?)", [(name,) for name in names])
    database.execute("CREATE TEMP TABLE pair (run TEXT)")
    ids = [f"{rng.getrandbits(128):032x}" for _ in range(runs)]
    for index, run_id in enumerate(ids):
        _add_run(database, experiment, run_id, index)
    for first in range(0, runs, AT_A_TIME):
        database.execute("DELETE FROM pair")
        database.executemany("INSERT INTO pair VALUES (?)", [(run_id,) for run_id in ids[first : first + AT_A_TIME]])
        database.execute(
            "WITH RECURSIVE steps(step) AS (SELECT 1 UNION ALL SELECT step + 1 FROM steps WHERE step < ?) "
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
            "SELECT key, random() / 9223372036854775808.0, ? + step * 1000, run, step, 0 "
            "FROM steps CROSS JOIN pair CROSS JOIN names",
            (steps, START_MS + first * steps * 1000),
        )
        database.execute(
            "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
            "SELECT key, value, timestamp, step, is_nan, run_uuid FROM metrics "
            "WHERE run_uuid IN (SELECT run FROM pair) AND step = ?",
            (steps,),
        )


def _add_run(database: sqlite3.Connection, experiment: int, run_id: str, index: int) -> None:
    variant, seed = f"variant_{index % 10}", str(index // 10)
    database.execute(
        "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, "
        "artifact_uri, experiment_id) VALUES (?, ?, 'LOCAL', 'benchmark', 'FINISHED', ?, ?, 'active', '', ?)",
        (run_id, run_id, START_MS, START_MS, experiment),
    )
    tags = {
        keys.TAG_KIND: "trial",
        keys.TAG_SWEEP: SWEEP,
        keys.TAG_VARIANT: variant,
        keys.TAG_SEED: seed,
        keys.TAG_TRIAL_ID: run_id[:16],
        keys.TAG_AXES: "{}",
        keys.TAG_STATE: "done",
    }
    params = {"seed": seed} | {f"section.parameter_{number}": str(number) for number in range(PARAMS)}
    for table, content in (("tags", tags), ("params", params)):
        rows = [(name, value, run_id) for name, value in content.items()]
        database.executemany(f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)", rows)


if __name__ == "__main__":
    main()
