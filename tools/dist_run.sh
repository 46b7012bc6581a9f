#!/usr/bin/env bash
# Run a tool in several processes of one or more machines.
# Usage: tools/dist_run.sh TOOL PROCESSES ARGUMENTS; see dist_train.sh and dist_test.sh.
set -euo pipefail

tool=$1
processes=$2
shift 2
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$(dirname "$0")/$tool" "$@" --launcher pytorch
