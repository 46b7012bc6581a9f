#!/usr/bin/env bash
# Test on several GPUs of one or more machines.
# Usage: [NNODES=N NODE_RANK=I MASTER_ADDR=HOST PORT=P] tools/dist_test.sh CONFIG CHECKPOINT GPUS [OPTIONS]
# GPUS is the number on each machine; without a GPU, that of processes.
set -euo pipefail

if [ $# -lt 3 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi

exec "$(dirname "$0")/dist_run.sh" test.py "$3" "$1" "$2" "${@:4}"
