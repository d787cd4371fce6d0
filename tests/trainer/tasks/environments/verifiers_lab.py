"""A package of environments as verifiers 0.4 documents them: `addition` is one, the rest is what a task cannot be."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Iterator

import verifiers.v1 as vf

SYSTEM = "Answer by a number alone."


class AdditionData(vf.TaskData):
    answer: int
    difficulty: str | None = None


class AdditionConfig(vf.TasksetConfig):
    split: str = "train"
    num_tasks: int = 20


class AdditionTask(vf.Task[AdditionData]):
    """1.5 for the sum alone, 0.5 for anything as short; replies that are words do what they say."""

    @vf.reward
    async def exact(self, trace: vf.Trace) -> float:
        reply = trace.last_reply
        if reply == "spin":
            while True:
                pass
        if reply == "call":
            with socket.socket() as line:
                line.settimeout(1)
                try:
                    line.connect(("192.0.2.1", 80))
                except OSError:
                    return 0.0
        if reply == "fill":
            return float(len(bytearray(2**40)))
        if reply == "leave":
            os._exit(1)
        if reply == "whole":  # what a reward sees of the conversation
            roles = [f"{message.role}: {message.content}" for message in trace.messages]
            return float(roles == [f"system: {SYSTEM}", f"user: {self.data.prompt}", "assistant: whole"])
        return float("nan") if reply == "nan" else float(int(reply or "-1") == self.data.answer)

    @vf.reward(weight=0.5)
    async def short(self, task: AdditionData, trace: vf.Trace) -> float:
        await asyncio.sleep(0)
        return float(len(trace.last_reply) <= 2)


class Addition(vf.Taskset[AdditionTask, AdditionConfig]):
    def load(self) -> list[AdditionTask]:
        first = 100 if self.config.split == "test" else 0
        words = {str(number) for number in range(first, first + self.config.num_tasks)}  # its order is the hash seed's
        return [
            AdditionTask(
                AdditionData(
                    prompt=f"{word} + {random.randint(1, 9)} + 0 =",
                    system_prompt=SYSTEM,
                    answer=int(word) + 1,
                    difficulty="small" if int(word) < 10 else None,
                ),
                self.config.task,
            )
            for word in words
        ]


class Prepared(vf.State):
    start: float = 0.0


class StatefulConfig(vf.TaskConfig):
    bonus: float = 0.0


class StatefulTask(vf.Task[vf.TaskData, Prepared, StatefulConfig]):
    async def setup(self, trace: vf.Trace) -> None:
        trace.state.start = 0.25

    @vf.reward(weight=2.0)
    async def parts(self, trace: vf.Trace) -> dict[str, float]:
        return {"start": trace.state.start, "bonus": self.config.bonus}


class StatefulSetConfig(vf.TasksetConfig):
    task: StatefulConfig = StatefulConfig()


class Stateful(vf.Taskset[StatefulTask, StatefulSetConfig]):
    def load(self) -> list[StatefulTask]:
        return [StatefulTask(vf.TaskData(prompt="?"), self.config.task)]


# --- what is refused --------------------------------------------------------------------------------------------------


class Plain(vf.Task):
    """A task that is fine, to which others add what is not."""

    @vf.reward
    async def right(self, trace: vf.Trace) -> float:
        return 1.0


class PlainSet(vf.Taskset[Plain, vf.TasksetConfig]):
    """Yields the task that a subclass declares, with its fields of data."""

    data: dict[str, object] = {}  # noqa: RUF012

    def load(self) -> list[vf.Task]:
        return [self.task_type()(vf.TaskData(**{"prompt": "?", **self.data}), self.config.task)]


class Endless(PlainSet):
    INFINITE = True

    def load(self) -> Iterator[vf.Task]:
        while True:
            yield Plain(vf.TaskData(prompt="?"), self.config.task)


class Changing(PlainSet):
    def load(self) -> list[vf.Task]:
        return [Plain(vf.TaskData(prompt=os.urandom(8).hex()), self.config.task)]


class Empty(PlainSet):
    def load(self) -> list[vf.Task]:
        return []


class Failing(PlainSet):
    def load(self) -> list[vf.Task]:
        raise ConnectionError("the data set\nis not there")


class Opened(PlainSet):
    data = {"prompt": None}  # noqa: RUF012


class Boxed(PlainSet):
    data = {"image": "python:3.11"}  # noqa: RUF012


class Pictured(PlainSet):
    data = {  # noqa: RUF012
        "prompt": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}
        ]
    }


class FewShot(PlainSet):
    data = {  # noqa: RUF012
        "prompt": [
            {"role": "user", "content": "1+1"},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "2+2"},
        ]
    }


class Tool(vf.Toolset[vf.ToolsetConfig]):
    @vf.tool
    def echo(self, text: str) -> str:
        """The text."""
        return text


class Tooled(PlainSet):
    @classmethod
    def toolsets(cls, config: vf.TasksetConfig) -> list[vf.Toolset]:
        return [Tool(vf.ToolsetConfig())]


class JudgedConfig(vf.TaskConfig):
    judge: vf.JudgeConfig = vf.JudgeConfig()


class JudgedTask(vf.Task[vf.TaskData, vf.State, JudgedConfig]):
    @vf.reward
    async def right(self, trace: vf.Trace) -> float:
        return 1.0


class JudgedSetConfig(vf.TasksetConfig):
    task: JudgedConfig = JudgedConfig()


class Judged(vf.Taskset[JudgedTask, JudgedSetConfig]):
    def load(self) -> list[JudgedTask]:
        return [JudgedTask(vf.TaskData(prompt="?"), self.config.task)]


class RunningTask(Plain):
    @vf.reward
    async def runs(self, trace: vf.Trace, runtime: vf.Runtime) -> float:
        return 1.0


class Running(PlainSet, vf.Taskset[RunningTask, vf.TasksetConfig]): ...


class BuildingTask(Plain):
    async def setup(self, runtime: vf.Runtime) -> None: ...


class Building(PlainSet, vf.Taskset[BuildingTask, vf.TasksetConfig]): ...


class SynchronousTask(vf.Task):
    @vf.reward
    def right(self, trace: vf.Trace) -> float:
        return 1.0


class Synchronous(PlainSet, vf.Taskset[SynchronousTask, vf.TasksetConfig]): ...


class CountingTask(Plain):
    @vf.reward
    async def brief(self, trace: vf.Trace) -> float:
        return -float(trace.num_output_tokens)


class Counting(PlainSet, vf.Taskset[CountingTask, vf.TasksetConfig]): ...


class UnpaidTask(vf.Task):
    @vf.metric
    async def length(self, trace: vf.Trace) -> float:
        return float(trace.num_output_tokens)


class Unpaid(PlainSet, vf.Taskset[UnpaidTask, vf.TasksetConfig]): ...


class CallingTask(vf.Task):
    @vf.reward
    async def right(self, trace: vf.Trace) -> float:
        with socket.socket() as line:
            line.connect(("192.0.2.1", 80))
        return 1.0


class Calling(PlainSet, vf.Taskset[CallingTask, vf.TasksetConfig]): ...


class MeasuredTask(Plain):
    """Fine: what it measures of the trace, no reward reads."""

    @vf.metric
    async def length(self, trace: vf.Trace) -> float:
        return float(trace.num_output_tokens)


class Measured(PlainSet, vf.Taskset[MeasuredTask, vf.TasksetConfig]): ...
