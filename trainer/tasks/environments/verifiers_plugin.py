"""A `verifiers` environment in the process that has imported it: found, looked through, and asked for scores.

Of the package's v1 interface: an environment is a `Taskset`, which yields a `Task` for each row; the task holds the
data, and its reward functions read the trace of an episode. Here an episode is one reply to the row's prompt, without
tools and without a runtime, as its "null" harness plays it. What such an episode cannot be is refused: `Task.score`
leaves out a reward that asks for a runtime, without a word, and the rest would pass for the whole.

Imports verifiers, and so of the trainer nothing: it is read by scripts alone.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import verifiers.v1 as vf
from pydantic import BaseModel, ValidationError
from verifiers.v1.clients import BaseClientConfig
from verifiers.v1.state import state_cls
from verifiers.v1.trace import AgentInfo, TraceTask
from verifiers.v1.utils.decorators import discover_decorated, invoke
from verifiers.v1.utils.generic import concrete_type
from verifiers.v1.utils.loaders import import_taskset, taskset_class

UNKNOWN_OF_A_TRACE = ("num_input_tokens", "num_output_tokens", "num_total_tokens", "usage", "is_truncated")
LIFE = ("setup", "finalize")  # what a task may do around an episode
OF_A_CONTAINER = ("image", "workdir", "agent_user", "skills", "artifacts")


class RefusedError(Exception):
    """Why the environment cannot be a task, as a clause about it."""


@dataclass(frozen=True)
class Environment:
    """A taskset with its configuration."""

    taskset: type[vf.Taskset]
    config: vf.TasksetConfig

    @property
    def task(self) -> type[vf.Task]:
        task: type[vf.Task] = self.taskset.task_type()
        return task

    def rebuilt(self, data: Mapping[str, Any]) -> vf.Task:
        """The task of a row as it was written, as verifiers' own servers build it."""
        return self.task(self.task.data_type().model_validate(data), self.config.task)


def find_environment(name: str, arguments: Mapping[str, Any]) -> Environment:
    """The environment of an installed package, or a taskset's class as ``module:Class``.

    Raises `RefusedError` for what is none, for arguments that it does not take, and for one that brings an episode of
    its own: several turns, several agents, another program than a plain conversation.
    """
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name) if attribute else import_taskset(name)
        taskset = getattr(module, attribute, None) if attribute else taskset_class(name)
    except (AttributeError, TypeError, ValueError, ImportError) as error:
        old = " of verifiers 0.4 (its load_environment is of earlier ones)" if _is_old(name) else ""
        why = "cannot be imported" if isinstance(error, ImportError) else f"is no environment{old}"
        raise RefusedError(f"{why}: {one_line(error.__cause__ or error)}") from error
    if not isinstance(taskset, type) or not issubclass(taskset, vf.Taskset):
        those = sorted(
            key for key, each in vars(module).items() if isinstance(each, type) and issubclass(each, vf.Taskset)
        )
        raise RefusedError(
            f"is no environment: {attribute} of {module_name} is no Taskset (its own: {', '.join(those) or 'none'})"
        )
    for exported in (getattr(module, each, None) for each in getattr(module, "__all__", ())):
        if (
            isinstance(exported, type)
            and issubclass(exported, vf.Env | vf.Harness)
            and exported is not vf.SingleAgentEnv
        ):
            what = "episodes" if issubclass(exported, vf.Env) else "program that plays"
            raise RefusedError(
                f"brings {what} of its own ({exported.__name__}): one reply of text to each prompt can be trained on"
            )
    kind = concrete_type(taskset, vf.TasksetConfig, origin=vf.Taskset) or vf.TasksetConfig
    try:
        return Environment(taskset, kind.model_validate({**arguments, "id": name}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RefusedError(
            f"does not take the argument {where!r}: {first['msg']} (it takes {_fields(kind)})"
        ) from error


def refuse_misfit(environment: Environment, task: vf.Task) -> None:
    """Raises `RefusedError` for a row that needs more than one reply of text, or more than this process to score it."""
    for why in _misfits(environment, task):
        raise RefusedError(f"{why}: only one reply of text to each prompt can be trained on")
    rewards, metrics = task.hooks("reward"), task.hooks("metric")
    if not rewards:
        raise RefusedError("has no reward: its task has no function under @vf.reward")
    metrics_count = any("metrics" in _names(function) for function in rewards)
    for function in [*rewards, *metrics]:
        kind = "reward" if function in rewards else "metric"
        if _needs_runtime(function):
            raise RefusedError(f"needs a runtime: its {kind} {function.__name__} runs programs in it")
        if not inspect.iscoroutinefunction(inspect.unwrap(function)):
            raise RefusedError(f"has a {kind} {function.__name__} that is no async function, which verifiers fails on")
        unknown = [name for name in UNKNOWN_OF_A_TRACE if name in _names(function)]
        if unknown and (kind == "reward" or metrics_count):
            raise RefusedError(f"has a {kind} {function.__name__} that reads {unknown[0]}, which is not known here")


def _misfits(environment: Environment, task: vf.Task) -> Iterator[str]:
    """Why the row cannot be played here, but for its rewards and messages."""
    data, config = task.data, environment.config
    if type(task) is not environment.task:
        yield f"yields a {type(task).__name__} where it declares a {environment.task.__name__}"
    if environment.taskset.toolsets(config) or environment.task.toolsets(config.task):
        yield "has tools"
    if config.task.judges or _has_client(config.task):
        yield "asks a judge, which is a model over the network"
    lacking = [name for name in OF_A_CONTAINER if getattr(data, name)]
    if task.NEEDS_CONTAINER or lacking:
        yield f"needs a container{f': its rows have {lacking[0]}' if lacking else ''}"
    for name in LIFE:
        if _is_own(task, name) and _needs_runtime(getattr(task, name)):
            yield f"needs a runtime: its task's {name}() prepares it"
    if discover_decorated(task, "intercept"):
        yield "rewrites messages (@vf.intercept)"
    if data.prompt is None:
        yield "has rows without a prompt, to whose conversations a user comes first"


def messages(data: vf.TaskData) -> list[vf.SystemMessage | vf.UserMessage | vf.AssistantMessage | vf.ToolMessage]:
    """The conversation before the reply. Raises `RefusedError` for what is not text, a user's last."""
    prompt = data.prompt or []
    system = [] if data.system_prompt is None else [vf.SystemMessage(content=data.system_prompt)]
    found = [*system, *([vf.UserMessage(content=prompt)] if isinstance(prompt, str) else prompt)]
    for message in found:
        if isinstance(message.content, list) and any(part.type != "text" for part in message.content):
            raise RefusedError("has images in its prompts")
    roles = [message.role for message in found]
    if roles not in (["user"], ["system", "user"]):
        raise RefusedError(f"has prompts of several messages ({', '.join(roles)}): a system text and a question can be")
    return found


async def score(environment: Environment, data: Mapping[str, Any], reply: str) -> float:
    """What the environment's rewards come to, weighted, for `reply`; raises what they raise, as verifiers wraps it."""
    task = environment.rebuilt(data)
    nodes = [
        vf.MessageNode(parent=number - 1 if number else None, message=message)
        for number, message in enumerate(messages(task.data))
    ]
    answer = vf.MessageNode(parent=len(nodes) - 1, message=vf.AssistantMessage(content=reply), sampled=True)
    trace = vf.Trace(
        task=TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash),
        state=state_cls(type(task))(),
        agent=AgentInfo(config=vf.AgentConfig()),
        nodes=[*nodes, answer],
        stop_condition="agent_completed",
        is_completed=True,
        ok=True,
    )
    for name in LIFE:
        if _is_own(task, name):
            await invoke(getattr(task, name), {"trace": trace})
    await task.score(trace)
    return float(trace.reward)


_reached: list[str] = []
_watching = False


@contextmanager
def offline() -> Iterator[list[str]]:
    """Where the code within tries to reach by the internet's protocols: each attempt fails, and stands in the list."""
    global _watching
    _reached.clear()
    _watching = True
    try:
        yield _reached
    finally:
        _watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or event not in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        return
    place = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    if isinstance(place, tuple) or event == "socket.getaddrinfo":
        _reached.append(str(place[0] if isinstance(place, tuple) else place))
        raise PermissionError("a score must not need the network")


sys.addaudithook(_watch)  # in the process for good; it looks on while `offline`


def one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _is_old(name: str) -> bool:
    module = sys.modules.get(name.rsplit("/", 1)[-1].partition("@")[0].replace("-", "_").lower())
    return hasattr(module, "load_environment")


def _fields(kind: type[BaseModel]) -> str:
    of_all = {"id", "task", "system_prompt"}
    return ", ".join(sorted(kind.model_fields.keys() - of_all)) or "none"


def _has_client(config: BaseModel) -> bool:
    """Whether a configuration names an endpoint of a model, as that of a judge does."""
    if isinstance(config, BaseClientConfig):
        return True
    return any(_has_client(value) for _, value in config if isinstance(value, BaseModel))


def _is_own(task: vf.Task, name: str) -> bool:
    return getattr(type(task), name) is not getattr(vf.Task, name)


def _needs_runtime(function: Callable[..., Any]) -> bool:
    parameter = inspect.signature(function).parameters.get("runtime")
    return parameter is not None and parameter.default is parameter.empty


def _names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names that a function's code looks up, attributes among them."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_names if code else ()
