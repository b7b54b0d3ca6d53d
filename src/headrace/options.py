"""The options of tasks and flows: what a decorator may be given, and the checks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypedDict, cast

from headrace.callables import coroutine_form, is_coroutine_callable, is_of_module
from headrace.hooks import HOOKS, HookFn, Hooks
from headrace.limits import Limit
from headrace.limits.limit import limit_of as concurrency_limit_of
from headrace.middleware import Middleware, middleware_of
from headrace.option_checks import (
    description_of,
    flag_of,
    key_of,
    limit_of,
    name_of_definition,
    optional_flag_of,
    tags_of,
    text_of,
)
from headrace.parameters import Binder, refuse_reserved
from headrace.result_options import ResultOptions
from headrace.retries import RetryDelay, RetryPolicy
from headrace.run_names import RunName
from headrace.settings import current_settings
from headrace.specs import FlowSpec, TaskSpec
from headrace.task_runners import checked_runner
from headrace.validation import Validator

__all__ = (
    "FlowOptions",
    "FlowRunOptions",
    "HookOptions",
    "ResultStorageOptions",
    "TaskOptions",
    "TaskRunOptions",
    "flow_spec",
    "task_spec",
    "with_settings",
)


class HookOptions(TypedDict, total=False):
    """Functions to call when a run enters a state, as lists.

    Each is called as ``hook(task, task_run, state)``, or with a flow and its run; a
    plain function in a thread, a coroutine function on the loop. What one raises is
    logged and changes nothing.

    Keys:
        on_running: An attempt begins; the body waits for these.
        on_retry: An attempt failed and another one will follow.
        on_completion: The run ended as Completed.
        on_failure: It ended as Failed, a time limit included.
        on_crashed: It ended as Crashed.
        on_cancellation: It ended as Cancelled. Not for a run that was held back.
    """

    on_running: Iterable[HookFn] | None
    on_retry: Iterable[HookFn] | None
    on_completion: Iterable[HookFn] | None
    on_failure: Iterable[HookFn] | None
    on_crashed: Iterable[HookFn] | None
    on_cancellation: Iterable[HookFn] | None


class ResultStorageOptions(TypedDict, total=False):
    """What becomes of results, beside being given to those who ask.

    Keys:
        persist_result: Whether results are stored. By default they are if the options
            below ask for it, or the flow, or the setting ``results_persist_by_default``.
        result_storage: Where: a folder, as text or Path;
            ``headrace.filesystems.LocalFileSystem(basepath=...)``; an object store. By
            default where those of the flow around are, else in the folder that the
            setting ``local_storage_path`` names.
        result_serializer: How: ``"pickle"``, ``"json"``, ``"compressed/pickle"`` and so
            on, or a `headrace.serializers.Serializer`. By default as for the flow
            around, else as the setting ``results_default_serializer`` says.
        cache_result_in_memory: False drops a result once it is stored; it is read again
            each time somebody asks.
    """

    persist_result: bool | None
    result_storage: Any
    result_serializer: Any
    cache_result_in_memory: bool


class TaskRunOptions(HookOptions, ResultStorageOptions, total=False):
    """The options that `headrace.tasks.Task` takes by keyword only.

    Keys:
        task_run_name: What its runs are called: a template such as ``"load-{date}"``,
            filled with the arguments of the run, or a function that gives the name,
            without arguments or with ``parameters``, a dict of those.
        retries: How many attempts may follow a failed one; by default as the setting
            ``task_default_retries`` says (0).
        retry_delay_seconds: Seconds between attempts: a number, a list with one for
            each retry (the last serves for the rest), or a function from the number of
            retries to either, such as ``exponential_backoff(2)``.
        retry_jitter_factor: How far delays may be stretched at random: 0.5 means by
            half.
        retry_condition_fn: ``(task, task_run, state) -> bool``, plain or coroutine:
            whether a failure is worth another attempt.
        timeout_seconds: Limit of each attempt.
        concurrency_limit: How many of its runs go on at once, over all flows: a number
            or a `headrace.Limit`. Copies of the task share it.
        log_prints: Whether what its bodies print is logged; by default as its flow
            says, else as the setting ``logging_log_prints`` (False).
        interrupt: Whether the body of a plain function that has to stop may be
            interrupted in its thread, by `headrace.exceptions.RunInterrupted`.
        result_storage_key: The key that a result is stored under: a template such as
            ``"{flow_run.name}/{parameters[day]}.json"``; by default a random one.
        cache_key_fn: ``(context, parameters) -> str | None``, plain or coroutine: a run
            whose key was cached gives what the other gave, and does not execute. See
            `headrace.tasks.task_input_hash` and `headrace.cache_policies`.
        cache_expiration: How long that holds; by default for ever.
        refresh_cache: True executes runs whatever is cached, and caches what they give;
            by default as the setting ``tasks_refresh_cache`` says (False).
        middleware: Functions that go around the body of each attempt, outermost first:
            ``fn(run, call_next)``, coroutine functions for a coroutine task, else plain.
    """

    task_run_name: str | Callable[..., Any] | None
    retries: int | None
    retry_delay_seconds: RetryDelay | None
    retry_jitter_factor: float | None
    retry_condition_fn: Callable[..., Any] | None
    timeout_seconds: float | None
    concurrency_limit: int | Limit | None
    log_prints: bool | None
    interrupt: bool
    result_storage_key: str | None
    cache_key_fn: Callable[..., Any] | None
    cache_expiration: timedelta | None
    refresh_cache: bool | None
    middleware: Iterable[Middleware] | None


class TaskOptions(TaskRunOptions, total=False):
    """The options of a task; what is left out takes its default.

    Keys:
        name: By default the name of the function.
        description: By default its docstring.
        tags: Words to find runs by.
        version: Free text, copied to each run's record.
    """

    name: str | None
    description: str | None
    tags: str | Iterable[str] | None
    version: str | None


class FlowRunOptions(HookOptions, ResultStorageOptions, total=False):
    """The options that `headrace.flows.Flow` takes by keyword only.

    Keys:
        flow_run_name: As ``task_run_name`` of a task.
        retries: How often the body may run again in the same flow run when that
            failed; by default as the setting ``flow_default_retries`` says (0). Runs
            that completed are not executed again.
        retry_delay_seconds: As of a task.
        timeout_seconds: Limit of each attempt: the body and all that it submitted.
        validate_parameters: Whether arguments are checked against the annotations, and
            converted to them, with pydantic.
        log_prints: As of a task; also for those of its tasks that do not say.
        task_runner: Where the bodies of its tasks run: see `headrace.task_runners`. A
            class, or an instance.
    """

    flow_run_name: str | Callable[..., Any] | None
    retries: int | None
    retry_delay_seconds: RetryDelay | None
    timeout_seconds: float | None
    validate_parameters: bool
    log_prints: bool | None
    task_runner: Any


class FlowOptions(FlowRunOptions, total=False):
    """The options of a flow; see `TaskOptions` for those of the same name.

    Keys:
        name: By default the name of the function, with hyphens for underscores.
        description: By default its docstring.
        version: Free text.
    """

    name: str | None
    description: str | None
    version: str | None


# -- From options to specs ----------------------------------------------------


def task_spec(
    fn: Callable[..., Any], options: TaskOptions, owner: object, key: str | None
) -> TaskSpec:
    """The checked options of a task.

    Args:
        fn: Its function.
        options: As given.
        owner: The public task object.
        key: That of the task that this replaces; None for a new one.

    Raises:
        TypeError: Something has a wrong type; `ReservedArgumentError` for a parameter
            name that headrace uses itself.
        ValueError: A number makes no sense.
    """
    name = name_of_definition(fn, options.get("name"), "task")
    shared = _shared(fn, name, options, "task")
    hooks: Hooks | None = shared["hooks"]
    results: ResultOptions | None = shared["results"]
    middleware = middleware_of(
        name, options.get("middleware"), is_async=shared["is_async"]
    )
    functions = [fn, *middleware, *(hooks.functions() if hooks is not None else ())]
    has_more = middleware or shared["run_name"] is not None or results is not None
    is_bare = not has_more and hooks is None
    is_endless = shared["timeout_seconds"] is None
    return TaskSpec(
        **shared,
        key=key or key_of(fn),
        limit=concurrency_limit_of(
            f"{name}: concurrency_limit", options.get("concurrency_limit")
        ),
        interrupt=flag_of(name, "interrupt", options.get("interrupt", True)),
        middleware=middleware,
        is_bare=is_bare,
        is_single=is_bare and is_endless and shared["retry"] is None,
        is_usual=not has_more and (hooks is None or hooks.is_usual),
        # Of its functions, those of the options included.
        is_lasting=shared["run_name"] is None
        and (results is None or results.is_lasting)
        and all(map(is_of_module, functions))
        and shared["policy"].condition is None
        and not callable(shared["policy"].retry_delay_seconds),
        owner=owner,
    )


def flow_spec(
    fn: Callable[..., Any], options: FlowOptions, owner: object, key: str | None
) -> FlowSpec:
    """The checked options of a flow; raises as `task_spec`."""
    name = name_of_definition(fn, options.get("name"), "flow")
    if not options.get("name"):
        name = name.replace("_", "-")
    shared = _shared(fn, name, options, "flow")
    option = "validate_parameters"
    validates = flag_of(name, option, options.get(option, True))
    return FlowSpec(
        **shared,
        key=key or key_of(fn),
        validator=Validator(name, fn, shared["binder"]) if validates else None,
        task_runner=checked_runner(name, options.get("task_runner")),
        owner=owner,
    )


def with_settings(given: Mapping[str, Any], noun: str) -> dict[str, Any]:
    """Options of a task or flow, those that the current settings give filled in."""
    settled = dict(given)
    for option in ("retries", "retry_delay_seconds"):
        if settled.get(option) is None:
            settled[option] = getattr(current_settings(), f"{noun}_default_{option}")
    limit = settled.get("concurrency_limit")
    if isinstance(limit, int) and not isinstance(limit, bool):
        # One for the task and all its copies, whatever else they change.
        settled["concurrency_limit"] = concurrency_limit_of("its limit", limit)
    for option in HOOKS:
        hooks = settled.get(option)
        if isinstance(hooks, Iterable) and not isinstance(hooks, str):
            settled[option] = list(cast("Iterable[HookFn]", hooks))  # a copy (OPT-07)
    return settled


def _shared(
    fn: Callable[..., Any], name: str, options: Mapping[str, Any], noun: str
) -> dict[str, Any]:
    """What the specs of tasks and flows both have, checked in a fixed order (PRM-23)."""
    binder = Binder(fn, name)
    option = f"{noun}_run_name"
    run_name = RunName.of(name, option, options.get(option), binder.signature)
    refuse_reserved(name, binder.signature)
    tags = {"tags": tags_of(name, options.get("tags"))} if noun == "task" else {}
    policy = _policy(name, with_settings(options, noun))
    is_async = is_coroutine_callable(fn)
    return {
        **tags,
        "fn": fn,
        "call": coroutine_form(fn) if is_async else fn,
        "name": name,
        "binder": binder,
        "is_async": is_async,
        "description": description_of(name, fn, options.get("description")),
        "version": text_of(name, "version", options.get("version")),
        "policy": policy,
        "retry": policy if policy.retries else None,
        "timeout_seconds": limit_of(name, options.get("timeout_seconds")),
        "run_name": run_name,
        "log_prints": optional_flag_of(name, "log_prints", options.get("log_prints")),
        "hooks": Hooks.of(name, noun, options),
        "results": ResultOptions.of(name, options, binder),
    }


def _policy(name: str, options: Mapping[str, Any]) -> RetryPolicy:
    return RetryPolicy.of(
        name,
        options["retries"],
        options["retry_delay_seconds"],
        options.get("retry_jitter_factor"),
        options.get("retry_condition_fn"),
    )
