#!/usr/bin/env bash
# Deletes the stack, and says what stays: infra/undeploy.sh VENV (`make undeploy`). STACK, FORCE and YES are explained in docs/operate.md.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(realpath "${1:?usage: infra/undeploy.sh VENV}")
export PYTHONDONTWRITEBYTECODE=1
exec "$venv/bin/python" infra/deploy/undeploy.py
