#!/usr/bin/env bash
# verifiers 0.4.0: what a task's rewards come to, on valid tasks.
# Guess: a reward may be a plain function; a score that cannot be had raises; a task's key is the same in every process.
# Seen:  1. a reward under @vf.reward, or plugged by TaskConfig.rewards, that is no async function fails with "An
#           asyncio.Future, a coroutine or an awaitable is required";
#        2. Task.score(trace) without a runtime leaves out each reward that has a parameter `runtime`: the trace is ok
#           and its reward is the sum of the others (3 here, where the whole is 3 of 8);
#        3. Task.key, "stable task identity", differs between processes where a field of the data is a set;
#        4. a package whose own import fails is told to be "not found" and to be installed.
# Fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "verifiers==0.4.0"
cd "$folder"
echo "import nowhere" > some_lab.py
cat > seen.py <<'PY'
import asyncio
from importlib.metadata import version

import verifiers.v1 as vf
from verifiers.v1.trace import AgentInfo, Trace, TraceTask
from verifiers.v1.utils.loaders import taskset_class


class Plain(vf.Task):
    @vf.reward
    def right(self, trace):
        return 1.0


class Runs(vf.Task):
    @vf.reward
    async def right(self, trace):
        return 3.0

    @vf.reward
    async def passes(self, trace, runtime):
        return 5.0


class Data(vf.TaskData):
    accepted: set[str]


def scored(task):
    trace = Trace(task=TraceTask(type="T", data=task.data), agent=AgentInfo(config=vf.AgentConfig()), ok=True)
    asyncio.run(task.score(trace))
    return trace


print("verifiers", version("verifiers"))
try:
    scored(Plain(vf.TaskData(prompt="?")))
    raise SystemExit("this has changed: a plain function is a reward")
except vf.TaskError as error:
    print("1.", error)
trace = scored(Runs(vf.TaskData(prompt="?")))
print("2. ok", trace.ok, "reward", trace.reward, "of", sorted(trace.rewards))
assert trace.ok and trace.reward == 3.0, "this has changed"
print("3. key", vf.Task[Data](Data(prompt="?", accepted={"one", "two", "three"})).key[:12])
try:
    taskset_class("some-lab")
except ModuleNotFoundError as error:
    print("4.", str(error)[:60])
    assert "'some-lab' not found" in str(error), "this has changed"
PY
PYTHONHASHSEED=1 "$folder/venv/bin/python" seen.py 2>/dev/null | tee one
PYTHONHASHSEED=3 "$folder/venv/bin/python" seen.py 2>/dev/null > other
[ "$(grep '^3' one)" != "$(grep '^3' other)" ] || { echo "this has changed: the keys are equal"; exit 1; }
