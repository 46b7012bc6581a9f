#!/usr/bin/env bash
# Run a tool under Slurm.
# Usage: tools/slurm_run.sh TOOL PARTITION JOB_NAME ARGUMENTS; see slurm_train.sh and slurm_test.sh.
set -euo pipefail

tool=$1
partition=$2
job_name=$3
shift 3
gpus_per_node=${GPUS_PER_NODE:-8}

# SRUN_ARGS holds several words.
# shellcheck disable=SC2086
exec srun -p "$partition" \
    --job-name="$job_name" \
    --gres="gpu:$gpus_per_node" \
    --ntasks="${GPUS:-8}" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$(dirname "$0")/$tool" "$@" --launcher slurm
