#!/bin/sh
# Everything that needs a GPU, in one go: the kernels against naive loops, training on the device against training on the
# processor, the cats (and MNIST, if a folder with its files is given), and the table that compares it with PyTorch on the same card.
#
# usage: chapters-code/support/benchmark/on-gpu.sh PYTHON OUT [MNIST_DIR]
#   PYTHON  a Python with torch (for CUDA), diffusers and safetensors
#   OUT     a folder for models, pictures and the table
set -eu
[ $# -ge 2 ] || { sed -n 's/^# \{0,1\}//p' "$0" | tail -n +4; exit 2; }
python=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
mnist=${3:+$(cd "$3" && pwd)}
cd "$(dirname "$0")/../../.."

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$out/card.csv"
cargo test -p ops -p ch05-train --features ops/cuda,ch05-train/cuda --test against_naive --test on_gpu
cargo run -p ch05-train --features cuda -- --out "$out/cats"
if [ -n "$mnist" ]; then
    cargo run -p ch05-train --features cuda -- --dataset mnist --data-dir "$mnist" --out "$out/mnist"
fi
cargo run -p benchmark --features cuda -- --python "$python" --runs 3 --large --out "$out/table.md"
