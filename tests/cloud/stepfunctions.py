"""Step Functions where ministack differs from AWS: Parallel in JSONata, variables, limits, time-outs, stopping, time as
the steps see it where waits are shortened, and the log of (and the faults for) the Lambda invocations that the engine makes by itself."""

from __future__ import annotations

import contextvars
import json
import random
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import ministack.core.lambda_runtime as lambda_runtime
import ministack.services.lambda_svc as lambda_svc
import ministack.services.stepfunctions as engine
from ministack.core import responses

from . import calls, faults
from .patching import replace, require

PAYLOAD_LIMIT = 262_144
_ExecutionError = require(engine, "_ExecutionError")


class Stopped(_ExecutionError):
    """The execution has ended while this branch was at work. No Catch sees it."""


def install(timeout_scale: float) -> None:
    require(lambda_runtime, "_PROVIDED_POLL")
    lambda_runtime._PROVIDED_POLL = 0.002  # 50 ms for each invocation otherwise
    replace(engine, "_scaled_sleep", _time_passes)
    replace(engine, "_run_parallel_branches", _parallel)
    replace(engine, "_apply_output_path", _succeed_output)
    replace(engine, "_apply_state_assign", _assign_at_once)
    replace(engine, "_execute_task", lambda original: _task(original, timeout_scale))
    replace(engine, "_evaluate_jsonata_choice_rule", _boolean_conditions)
    replace(engine, "_find_matching_retrier", _bounded_back_off)
    replace(engine, "_find_matching_catcher", _never_stopped)
    replace(engine, "_evaluate_jsonata", _only_documented_context)
    for name in ("_execute_pass", "_execute_choice", "_execute_wait", "_execute_parallel", "_execute_map"):
        replace(engine, name, _limited)
    replace(engine, "_invoke_resource", lambda original: lambda resource, data: _within_limit(original(resource, _within_limit(data))))
    replace(engine, "_error_matches", _uncatchable)
    replace(engine, "_start_execution", _idempotent_start)
    replace(engine, "_run_execution", lambda original: _with_timeout(original, timeout_scale))
    replace(engine, "_fail_execution", lambda original: lambda execution, error, cause: original(execution, error, cause) if execution["status"] == "RUNNING" else None)
    replace(engine, "_call_lambda", _faulty)
    replace(engine, "_invoke_with_callback", _callback)
    for name in ("_send_task_success", "_send_task_failure"):
        replace(engine, name, _to_those_who_wait)
    replace(lambda_svc, "_execute_function_with_config_scope", _recorded)
    replace(lambda_svc, "_reserved_concurrency", _of_every_version)
    for name in ("_lock", "_workers", "_LOCAL_WORKER_TTL", "kill_workers"):
        require(lambda_runtime, name)
    replace(lambda_svc, "reap_idle_workers", _every_idle_one)


def _every_idle_one(_original: Any) -> Any:
    """The emulator keeps one process of each function for ever; of an account that is done with, some twenty would stay."""

    def reap(ttl: float | None = None) -> int:
        latest = time.time() - (lambda_runtime._LOCAL_WORKER_TTL if ttl is None else ttl)
        idle: list[Any] = []
        with lambda_runtime._lock:
            for key, workers in list(lambda_runtime._workers.items()):
                ended = [worker for worker in workers if not worker.in_use and worker.last_used < latest]
                idle += ended
                if kept := [worker for worker in workers if worker not in ended]:
                    lambda_runtime._workers[key] = kept
                else:
                    del lambda_runtime._workers[key]
        lambda_runtime.kill_workers(idle)
        return len(idle)

    return reap


# How far the clock of this execution (or branch) is ahead of ours, in seconds, since its waits were shortened. Steps decide
# by the time at which a state was entered: so a wait of three minutes is one to them, however short it was here.
_ahead: contextvars.ContextVar[float] = contextvars.ContextVar("ahead", default=0.0)


def _time_passes(sleep: Any) -> Any:
    def wait(seconds: float) -> None:
        began = time.monotonic()
        sleep(seconds)
        _ahead.set(_ahead.get() + max(0.0, seconds - (time.monotonic() - began)))

    return wait


def _jsonata(state: dict[str, Any], context: Any) -> bool:
    return engine._state_query_language(state, context) == "JSONata"


def _parallel(original: Any) -> Any:
    """Arguments, Output and Assign count; each branch has its own State, Task and variables."""

    def run(state: dict[str, Any], raw: Any, execution: Any, context: Any) -> Any:
        if not _jsonata(state, context):
            return original(state, raw, execution, context)
        given = engine._apply_jsonata_arguments(state, raw, context)
        results: list[Any] = [None] * len(state["Branches"])
        errors: list[Any] = [None] * len(state["Branches"])

        ahead = [0.0] * len(state["Branches"])

        def branch(index: int, machine: dict[str, Any]) -> None:
            own = {**context, "variables": dict(context["variables"])}
            try:
                results[index] = engine._run_sub_machine(machine["States"], machine["StartAt"], given, execution, own)
            except _ExecutionError as error:
                errors[index] = error
            except Exception as error:  # an engine's own mistake must end the execution, not hang it
                errors[index] = _ExecutionError("States.BranchFailed", str(error))
            ahead[index] = _ahead.get()

        threads = [threading.Thread(target=contextvars.copy_context().run, args=(branch, i, b), daemon=True) for i, b in enumerate(state["Branches"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _ahead.set(max(ahead))
        for error in errors:
            if error:
                raise error
        output = engine._apply_jsonata_output(state, raw, context, result=results, default=results)
        engine._apply_state_assign(state, raw, context, result=results)
        return output, engine._next_or_end(state)

    return run


def _succeed_output(original: Any) -> Any:
    def output(state: dict[str, Any], data: Any, context: Any = None) -> Any:
        if state.get("Type") == "Succeed" and _jsonata(state, context):
            return engine._apply_jsonata_output(state, data, context, default=data)
        return original(state, data, context)

    return output


def _assign_at_once(original: Any) -> Any:
    """Every right-hand side sees the values from before the state."""

    def assign(state: dict[str, Any], raw: Any, context: Any, result: Any = None, error_output: Any = None) -> None:
        if context is None or not _jsonata(state, context) or not isinstance(state.get("Assign"), dict):
            return
        values = {name: engine._apply_jsonata_template(value, raw, context, result=result, error_output=error_output) for name, value in state["Assign"].items()}
        context.setdefault("variables", {}).update(values)

    return assign


# The execution whose task is at work, and how long an account's people are waited for, where that is shortened.
_executing: contextvars.ContextVar[Any] = contextvars.ContextVar("executing", default=None)
_waits: dict[str, float] = {}
_asked: dict[str, Any] = {}


# The function whose tasks wait for people. They are waited for as long as it takes; other waits are shortened as Wait is.
PEOPLE = "cordon-permission"


def wait_for_people(account: str, seconds: float | None) -> dict[str, Any]:
    """How long people of this account are waited for, whatever the state says; None as long as that."""
    if seconds is None:
        _waits.pop(account, None)
    else:
        _waits[account] = seconds
    return {"seconds": seconds}


def _callback(_original: Any) -> Any:
    """A function that fails ends its task at once; what waits ends with its execution; waits are shortened as Wait is."""

    def invoke(resource: str, given: Any, token: str, state: dict[str, Any]) -> Any:
        if "states:::lambda:invoke" not in resource:
            raise _ExecutionError("States.Runtime", f"{resource} is not joined to the local cloud")
        execution, event = _executing.get(), threading.Event()
        engine._task_tokens[token] = {"event": event, "result": None, "error": None, "heartbeat": None}
        _asked[token] = execution
        try:
            engine._call_lambda(engine._resolve_lambda_function_ref(given.get("FunctionName", ""), optimized=True), _within_limit(given["Payload"]))
            limit = state.get("TimeoutSeconds", 99_999_999)
            people = PEOPLE in given.get("FunctionName", "")
            scale = 1.0 if people else engine._SFN_WAIT_SCALE
            patience = min(limit, _waits.get(responses.get_account_id(), limit)) if people else limit * scale
            began = time.monotonic()
            while not event.wait(min(0.1, patience)):
                _still_running(execution)
                if time.monotonic() - began > patience:
                    _ahead.set(_ahead.get() + limit - patience)
                    raise _ExecutionError("States.Timeout", "")
            if scale:
                _ahead.set(_ahead.get() + (time.monotonic() - began) * (1 / scale - 1))
            told = engine._task_tokens[token]
        finally:
            engine._task_tokens.pop(token, None)
            _asked.pop(token, None)
        if told["error"]:
            raise _ExecutionError(told["error"]["Error"], told["error"]["Cause"])
        return _within_limit(json.loads(told["result"]))

    return invoke


def _to_those_who_wait(original: Any) -> Any:
    """A token is good while its task waits, and its output is JSON."""

    def send(data: dict[str, Any]) -> Any:
        token = data.get("taskToken")
        info, execution = engine._task_tokens.get(token), _asked.get(token)
        if info is None or execution is None or execution["status"] != "RUNNING" or info["event"].is_set():
            return engine.error_response_json("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400)
        try:
            json.loads(data.get("output", "{}"))
        except ValueError:
            return engine.error_response_json("InvalidOutput", "Invalid Output: 'Invalid JSON'", 400)
        return original(data)

    return send


def _task(original: Any, scale: float) -> Any:
    """Time-outs may be expressions; no state begins or goes on in an execution that has ended."""

    def run(state: dict[str, Any], raw: Any, execution: Any, context: Any) -> Any:
        _still_running(execution)
        entered = datetime.now(timezone.utc) + timedelta(seconds=_ahead.get())
        context["State"]["EnteredTime"] = entered.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if _jsonata(state, context):
            fields = {k: engine._jsonata_state_field(state, k, "number", raw, context) * scale for k in ("TimeoutSeconds", "HeartbeatSeconds") if k in state}
            state = {**state, **fields}
        before = _executing.set(execution)
        try:
            output = original(state, raw, execution, context)
        finally:
            _executing.reset(before)
        _still_running(execution)
        _within_limit(output[0])
        return output

    return run


def _still_running(execution: Any) -> None:
    if execution["status"] != "RUNNING":
        raise Stopped("Cordon.Stopped", "the execution has ended")


def _never_stopped(original: Any) -> Any:
    return lambda catchers, error: None if error == "Cordon.Stopped" else original(catchers, error)


def _boolean_conditions(original: Any) -> Any:
    def rule(choice: dict[str, Any], raw: Any, context: Any) -> Any:
        if not isinstance(choice.get("Condition"), str):
            return original(choice, raw, context)
        value = engine._apply_jsonata_template(choice["Condition"], raw, context)
        if not isinstance(value, bool):
            raise _ExecutionError("States.QueryEvaluationError", f"the Condition gave {type(value).__name__}, not a boolean")
        return value

    return rule


def _bounded_back_off(original: Any) -> Any:
    """MaxDelaySeconds and JitterStrategy."""

    def find(retriers: list[dict[str, Any]], error: str, counts: dict[int, int]) -> Any:
        retrier, index = (None, None) if error == "Cordon.Stopped" else original(retriers, error, counts)
        if retrier is None:
            return None, index
        delay = min(retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** counts.get(index, 0), retrier.get("MaxDelaySeconds", 1e9))
        if retrier.get("JitterStrategy") == "FULL":
            delay *= random.random()
        return {**retrier, "IntervalSeconds": delay, "BackoffRate": 1.0}, index

    return find


class _Documented(dict):  # type: ignore[type-arg]
    """What `$states.context` shows on AWS; variables are reached by their names alone."""

    def __init__(self, context: dict[str, Any] | None) -> None:
        context = context or {}
        super().__init__({k: context[k] for k in ("Execution", "StateMachine", "State", "Task", "Map") if k in context})
        self._variables = context.get("variables", {})

    def get(self, key: Any, default: Any = None) -> Any:
        return self._variables if key == "variables" else super().get(key, default)


def _only_documented_context(original: Any) -> Any:
    def evaluate(expression: Any, raw: Any, context: Any = None, result: Any = None, error_output: Any = None) -> Any:
        return original(expression, raw, _Documented(context), result, error_output)

    return evaluate


def _within_limit(value: Any) -> Any:
    if len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()) > PAYLOAD_LIMIT:
        raise _ExecutionError("States.DataLimitExceeded", "The state/task returned a result with a size exceeding the maximum number of bytes service limit.")
    return value


def _limited(original: Any) -> Any:
    def run(state: dict[str, Any], raw: Any, *rest: Any) -> Any:
        context = rest[-1] if rest else None
        execution = engine._executions.get(context["Execution"]["Id"]) if context else None
        if execution:
            _still_running(execution)
        output = original(state, raw, *rest)
        if execution:
            _still_running(execution)
        _within_limit(output[0])
        return output

    return run


def _uncatchable(original: Any) -> Any:
    """States.ALL catches neither of these."""
    return lambda equals, error: error in equals if error in ("States.DataLimitExceeded", "States.Runtime") else original(equals, error)


def _idempotent_start(original: Any) -> Any:
    """A second start with the same name and input, while the first runs, gives the first."""

    def start(data: dict[str, Any]) -> Any:
        given = data.get("input", "{}")
        if len(given.encode()) > PAYLOAD_LIMIT:
            return engine.error_response_json("ValidationException", "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length less than or equal to 262144", 400)
        answer = original(data)
        if answer[0] == 400 and b"ExecutionAlreadyExists" in answer[2]:
            running = engine._executions.get(answer[2].decode().split("'")[1])
            if running and running["status"] == "RUNNING" and running["input"] == given:
                return engine.json_response({"executionArn": running["executionArn"], "startDate": running["startDate"]})
        return answer

    return start


def _with_timeout(original: Any, scale: float) -> Any:
    """The machine's own TimeoutSeconds."""

    def run(arn: str) -> None:
        execution = engine._executions.get(arn)
        machine = engine._state_machines.get(execution["stateMachineArn"]) if execution else None
        limit = json.loads(machine["definition"]).get("TimeoutSeconds") if machine else None

        def expire() -> None:
            if execution["status"] == "RUNNING":
                execution.update(status="TIMED_OUT", error="States.Timeout", cause=None, stopDate=engine.now_iso())
                engine._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {"error": "States.Timeout"}})
                engine._emit_execution_status_event(execution)

        timer = threading.Timer(limit * scale, contextvars.copy_context().run, (expire,)) if limit else None
        if timer:
            timer.daemon = True
            timer.start()
        original(arn)
        if timer:
            timer.cancel()

    return run


def _faulty(original: Any) -> Any:
    """Faults for invocations by the engine: `before` the function runs, or `after` with its answer lost."""

    def call(reference: Any, event: Any) -> Any:
        fault = faults.take(responses.get_account_id(), "lambda:Invoke", f"states {reference}")
        if fault and fault.kind == "delay":
            time.sleep(fault.seconds)
        if fault and fault.kind == "before":
            raise _ExecutionError(fault.code, json.dumps({"errorType": fault.code, "errorMessage": fault.message}))
        answer = original(reference, event)
        if fault and fault.kind == "after":
            raise _ExecutionError(fault.code, json.dumps({"errorType": fault.code, "errorMessage": fault.message}))
        return answer

    return call


def _of_every_version(original: Any) -> Any:
    """Concurrency is reserved for a function with all of its versions, and the engine calls versions; ministack forgets it there."""
    return lambda function, config: original(lambda_svc._functions.get(config.get("FunctionName")) or function, config)


def _recorded(original: Any) -> Any:
    """Puts every invocation into the call log, with the state that it is made for."""

    def execute(function: dict[str, Any], event: Any) -> Any:
        began = time.time()
        answer = original(function, event)
        if isinstance(answer, dict) and answer.get("throttle"):
            # More at once than is reserved. The engine would call this Lambda.Unknown.
            answer["body"]["errorType"] = "Lambda.TooManyRequestsException"
        visit = event.get("visit", {}) if isinstance(event, dict) else {}
        config = function.get("config", {})
        failed = answer.get("body") if isinstance(answer, dict) and answer.get("error") else None
        calls.record(
            began, service="lambda", action="lambda:Invoke", principal="states", app=None, status=500 if failed else 200, fault=None, reached=True,
            error=failed.get("errorType") if isinstance(failed, dict) else failed, account=config.get("FunctionArn", ":" * 4).split(":")[4],  # EventBridge's threads know no account
            function=config.get("FunctionName"), state=visit.get("state"),
        )
        return answer

    return execute
