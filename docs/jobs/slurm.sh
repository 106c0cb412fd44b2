#!/bin/bash
# A training on any SLURM cluster with NVIDIA GPUs: 2 nodes of 4. Submit once; it goes on until the run is done.
#   sbatch docs/jobs/slurm.sh europe-paper /path/to/store.zarr runs/europe-paper
#SBATCH --job-name=cranpm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4        # one process a GPU; nodes x tasks must divide the recipe's batch.groups
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8          # the training process and its readers (--workers)
#SBATCH --time=12:00:00
#SBATCH --signal=USR1@300          # 5 minutes before the time is up: save after the step, start the job again
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=cranpm-%j.log
set -euo pipefail
recipe=$1 store=$2 run=$3

source .venv/bin/activate          # pip install -c constraints.txt ".[train]" with a CUDA build of torch
export OMP_NUM_THREADS=1           # the readers are processes; threads of theirs would only get in each other's way

resume=()
[ -e "$run/resume.ckpt" ] && resume=(--resume)
srun --kill-on-bad-exit=1 cranpm train "$recipe" --data "$store" --out "$run" --workers 7 "${resume[@]}"
