#!/usr/bin/env bash
# Train on several GPUs of one or more machines.
# Usage: [NNODES=N NODE_RANK=I MASTER_ADDR=HOST PORT=P] tools/dist_train.sh CONFIG GPUS [OPTIONS]
# GPUS is the number on each machine; without a GPU, that of processes.
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi

exec "$(dirname "$0")/dist_run.sh" train.py "$2" "$1" "${@:3}"
