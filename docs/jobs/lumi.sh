#!/bin/bash
# The paper's training on a LUMI-like machine: 8 nodes of 4 MI250X, which SLURM and torch count as 8 GPUs each.
#   sbatch --account=project_XXXXXXXXX docs/jobs/lumi.sh europe-paper STORE RUN
# CONTAINER is an image with PyTorch for ROCm, VENV a virtual environment made inside it with --system-site-packages
# and `pip install -c constraints.txt ".[train]"` (without the torch line: the image's own is kept).
#SBATCH --job-name=cranpm
#SBATCH --partition=standard-g
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=8        # 64 processes, 2 tiles each a step: the paper's 128
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=7          # a core of each group of 8 is kept for the system
#SBATCH --mem=480G
#SBATCH --time=12:00:00
#SBATCH --signal=USR1@300          # 5 minutes before the time is up: save after the step, start the job again
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=cranpm-%j.log
set -euo pipefail
recipe=$1 store=$2 run=$3

export OMP_NUM_THREADS=1
export NCCL_SOCKET_IFNAME=hsn0,hsn1,hsn2,hsn3   # the Slingshot interfaces; others do not reach the other nodes
export NCCL_NET_GDR_LEVEL=3                     # GPUs send without a copy through the host
export MIOPEN_USER_DB_PATH=/tmp/$USER-miopen-$SLURM_JOB_ID   # kernels found by search: not on the parallel file system
export MIOPEN_CUSTOM_CACHE_DIR=$MIOPEN_USER_DB_PATH

# Each GPU beside the cores of its own NUMA domain: GPU 0 is next to cores 49-55, and so on; the first core of each
# group of eight stays free.
cores=fe000000000000,fe00000000000000,fe0000,fe000000,fe,fe00,fe00000000,fe0000000000

resume=()
[ -e "$run/resume.ckpt" ] && resume=(--resume)
code=0
srun --kill-on-bad-exit=1 --cpu-bind="mask_cpu:$cores" \
  singularity exec --bind "$PWD,$(dirname "$store"),$(dirname "$run")" "$CONTAINER" bash -c 'source "$VENV/bin/activate" && exec "$@"' -- \
  cranpm train "$recipe" --data "$store" --out "$run" --workers 6 "${resume[@]}" || code=$?
# 138: stopped by SIGUSR1 with its state saved. scontrol is not in the container, so the job is started again from here.
[ "$code" -eq 138 ] && scontrol requeue "$SLURM_JOB_ID"
exit "$code"
