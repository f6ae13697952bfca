"""PyTorch's side of the comparison: the same network, from the same directory, on the same batch.

Says hello in one line of JSON, then answers each line on standard input with the time that a step takes.
"""

import argparse
import json
import sys
import time

import diffusers
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import load_file

TURN = 0.3
TIMESTEP = 500

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--task", required=True, choices=["train", "sample"])
parser.add_argument("--threads", required=True, type=int)
parser.add_argument("--layout", required=True, choices=["contiguous_format", "channels_last"])
args = parser.parse_args()

torch.set_num_threads(args.threads)
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.benchmark = True
batch = {name: tensor.to(device) for name, tensor in load_file(args.model + "/batch.safetensors").items()}
x0, eps, timesteps = batch["x0"], batch["eps"], batch["timesteps"].long()
layout = getattr(torch, args.layout)
scheduler = DDPMScheduler.from_pretrained(args.model + "/scheduler")


class Train:
    def __init__(self):
        self.unet = UNet2DModel.from_pretrained(args.model + "/unet").to(device, memory_format=layout)
        self.parameters = list(self.unet.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=2e-3, fused=True)
        self.x0 = x0.to(memory_format=layout)

    def learn(self, timesteps, eps):
        x_t = scheduler.add_noise(self.x0, eps, timesteps)
        loss = (self.unet(x_t, timesteps).sample - eps).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 0.001)
        return loss.item()

    def check(self):
        return self.learn(timesteps, eps)

    def step(self):
        self.learn(torch.randint(0, 1000, timesteps.shape, device=device), torch.randn_like(self.x0))


class Sample:
    def __init__(self):
        self.unet = UNet2DModel.from_pretrained(args.model + "/unet").to(device, memory_format=layout)
        self.unet.requires_grad_(False)
        self.x_t = x0.to(memory_format=layout)

    def check(self):
        with torch.inference_mode():
            return self.unet(self.x_t, TIMESTEP).sample.abs().double().mean().item()

    def step(self):
        with torch.inference_mode():
            scheduler.step(self.unet(self.x_t, TIMESTEP).sample, TIMESTEP, self.x_t).prev_sample


def seconds(step, at_least):
    start, steps = time.perf_counter(), 0
    while steps == 0 or time.perf_counter() - start < at_least:
        step()
        steps += 1
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


def peak_memory():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except OSError:
        return None


def say(message):
    print(json.dumps(message), flush=True)


work = {"train": Train, "sample": Sample}[args.task]()
check = work.check()
for _ in range(3):
    work.step()
versions = f"PyTorch {torch.__version__}, diffusers {diffusers.__version__}, eager, fp32."
say({"check": check, "versions": versions})
for _ in sys.stdin:
    say({"seconds": seconds(work.step, TURN), "peak_memory": peak_memory()})
