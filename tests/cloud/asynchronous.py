"""Events that invoke a function: Lambda brings one again whose function has failed, after a minute, and after two more
[facts 105]. The emulator brings each once."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import ministack.services.eventbridge as eventbridge
import ministack.services.lambda_svc as lambda_svc
import ministack.services.stepfunctions as engine

from .patching import replace, require

PAUSES_SECONDS = (60, 120)


def install() -> None:
    for name in ("_get_func_record_for_ref", "_execution_record_for_config"):
        require(lambda_svc, name)
    replace(eventbridge, "_dispatch_to_lambda", lambda _original: _invoke)


def _invoke(arn: str, payload: str) -> None:
    function, config, _ = lambda_svc._get_func_record_for_ref(arn)
    if not function or not config:
        return
    record = lambda_svc._execution_record_for_config(function, config)
    threading.Thread(target=_until_it_goes_well, args=(record, json.loads(payload)), daemon=True).start()


def _until_it_goes_well(record: dict[str, Any], event: dict[str, Any]) -> None:
    for pause in (*PAUSES_SECONDS, None):
        answer = lambda_svc._execute_function_with_config_scope(record, event)
        if pause is None or not (isinstance(answer, dict) and answer.get("error")):
            return
        # As waits of the state machine are shortened.
        time.sleep(pause * engine._SFN_WAIT_SCALE)
