#!/usr/bin/env bash
# Builds Cordon and deploys it to the account and Region of the AWS environment: infra/deploy.sh VENV (`make deploy`).
# STACK, ARCH, POLICY, PARAMETERS, PUBLIC_KEY, CODE_BUCKET, BINARIES and YES are explained in docs/operate.md.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(realpath "${1:?usage: infra/deploy.sh VENV}")
# cargo-lambda, cargo-zigbuild and zig are found on the path.
export PATH="$venv/bin:$PATH" SAM_CLI_TELEMETRY=0 PYTHONDONTWRITEBYTECODE=1

# What can be wrong is found before a build that takes many minutes.
[ -n "${BINARIES:-}" ] || "$venv/bin/python" infra/deploy/build.py --only-check
"$venv/bin/python" infra/deploy/deploy.py --only-check
[ -n "${BINARIES:-}" ] || "$venv/bin/python" infra/deploy/build.py
exec "$venv/bin/python" infra/deploy/deploy.py
