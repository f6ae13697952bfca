"""Golden fixtures from Hugging Face `diffusers` for the U-Net and the DDPM schedule.

    python3 -m venv /tmp/venv
    /tmp/venv/bin/pip install torch diffusers safetensors numpy pillow transformers accelerate
    /tmp/venv/bin/python golden.py [OUT_DIR]      # default: `golden` next to this script

Nothing is downloaded: every model has random weights, seeded, so the files come out the
same on every run with the same versions. It was run with Python 3.11.7, diffusers 0.42.1,
torch 2.15.0 (CPU), safetensors 0.8.0, numpy 2.4.6.

What is written:

unet/NAME/config.json, diffusion_pytorch_model.safetensors
    `UNet2DModel.save_pretrained`; every norm weight is 1 + 0.2 randn and every bias is
    0.2 randn, so that each parameter matters.
unet/NAME/golden.safetensors
    sample, timestep (int64, one per image), output, target, loss (mse_loss(output, target)),
    grad_sample, and grad.PARAMETER for every parameter. Computed in float64 from the float32
    weights and inputs, stored as float32. One exception lies inside diffusers: the sinusoidal
    timestep embedding is always computed in float32.
schedules.json
    betas, alphas_cumprod and the posterior variances of DDPMScheduler (float32, as is).
steps.safetensors, steps.json
    DDPMScheduler.step / add_noise / get_velocity (float32, as is).
few_steps.safetensors, few_steps.json
    Timesteps and steps of DDIMScheduler; whole walks of DPMSolverMultistepScheduler (float32, as is).
"""

import json
import os
import platform
import shutil
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import diffusers
import numpy
import safetensors
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from diffusers.utils.torch_utils import randn_tensor
from safetensors.torch import save_file

torch.set_num_threads(1)
diffusers.utils.logging.set_verbosity_error()

DOWN, ATTN_DOWN, UP, ATTN_UP = "DownBlock2D", "AttnDownBlock2D", "UpBlock2D", "AttnUpBlock2D"

# name: (UNet2DModel arguments, timesteps of the batch)
MODELS = {
    # no attention anywhere
    "plain_1ch": (
        dict(
            in_channels=1, out_channels=1, sample_size=8, block_out_channels=(8, 12), layers_per_block=1,
            down_block_types=(DOWN, DOWN), up_block_types=(UP, UP),
            norm_num_groups=4, add_attention=False, downsample_padding=1,
        ),
        [3, 721],
    ),
    # attention at the second level and in the middle (3 heads of 4 channels).
    # Never one channel per group: the norm would then remove the conv1 biases and the time
    # projections before it, and they would have no influence.
    "attn_3ch": (
        dict(
            in_channels=3, out_channels=3, sample_size=8, block_out_channels=(8, 12), layers_per_block=1,
            down_block_types=(DOWN, ATTN_DOWN), up_block_types=(ATTN_UP, UP),
            norm_num_groups=4, attention_head_dim=4, add_attention=True, downsample_padding=1,
        ),
        [0, 412],
    ),
    # the conventions of google/ddpm-cifar10-32
    "paper_like": (
        dict(
            in_channels=3, out_channels=3, sample_size=8, block_out_channels=(8, 8), layers_per_block=2,
            down_block_types=(DOWN, ATTN_DOWN), up_block_types=(ATTN_UP, UP),
            norm_num_groups=4, norm_eps=1e-6, attention_head_dim=None, downsample_padding=0,
            flip_sin_to_cos=False, freq_shift=1, center_input_sample=False, mid_block_scale_factor=1,
        ),
        [999, 58],
    ),
    # 28 -> 14 -> 7, batch 1, two heads of 4 channels
    "odd_28": (
        dict(
            in_channels=1, out_channels=1, sample_size=28, block_out_channels=(4, 8, 8), layers_per_block=1,
            down_block_types=(DOWN, DOWN, ATTN_DOWN), up_block_types=(ATTN_UP, UP, UP),
            norm_num_groups=2, attention_head_dim=4,
        ),
        [250],
    ),
    # in_channels != out_channels, not square, centred input, mid block scale factor
    "groups_2_center": (
        dict(
            in_channels=2, out_channels=3, sample_size=(8, 12), block_out_channels=(8, 12), layers_per_block=1,
            down_block_types=(DOWN, ATTN_DOWN), up_block_types=(ATTN_UP, UP),
            norm_num_groups=2, norm_eps=1e-5, attention_head_dim=4, center_input_sample=True,
            flip_sin_to_cos=True, freq_shift=0, mid_block_scale_factor=1.4142135,
        ),
        [640, 15],
    ),
    # one level: no downsampler, no upsampler
    "single_level": (
        dict(
            in_channels=3, out_channels=3, sample_size=8, block_out_channels=(8,), layers_per_block=2,
            down_block_types=(DOWN,), up_block_types=(UP,), norm_num_groups=4,
        ),
        [100, 900],
    ),
}
# `odd_7` (a 7x7 input with two levels) is left out: diffusers cannot run it; see odd_size_fails().


def perturb(model):
    """Make every parameter matter: nothing stays at 0 or 1."""
    norms = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.GroupNorm)}
    with torch.no_grad():
        for name, p in model.named_parameters():
            if id(p) in norms:
                p.copy_(1 + 0.2 * torch.randn_like(p))
            elif name.endswith(".bias"):
                p.copy_(0.2 * torch.randn_like(p))
            else:
                if ".to_q." in name or ".to_k." in name:
                    p.mul_(3)  # attention that is far from uniform
                p.add_(0.05 * torch.randn_like(p))


def forward_backward(model, sample, timestep, target):
    sample = sample.clone().requires_grad_(True)
    model.zero_grad()
    output = model(sample, timestep).sample
    loss = torch.nn.functional.mse_loss(output, target)
    loss.backward()
    out = {"output": output.detach(), "loss": loss.detach().reshape(1), "grad_sample": sample.grad}
    for name, p in model.named_parameters():
        out["grad." + name] = p.grad.clone()
    return out


def write_unet(out_dir, index, name):
    arguments, timesteps = MODELS[name]
    torch.manual_seed(1000 + index)
    model = UNet2DModel(**arguments).eval()
    perturb(model)
    path = os.path.join(out_dir, "unet", name)
    model.save_pretrained(path)

    size = model.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    batch = len(timesteps)
    sample = torch.randn(batch, model.config.in_channels, height, width)
    target = torch.randn(batch, model.config.out_channels, height, width)
    timestep = torch.tensor(timesteps, dtype=torch.int64)

    in_f32 = forward_backward(model, sample, timestep, target)
    golden = forward_backward(model.double(), sample.double(), timestep, target.double())
    worst = max((k for k in golden), key=lambda k: scaled_error(in_f32[k], golden[k]))
    noise = scaled_error(in_f32["output"], golden["output"]), scaled_error(in_f32[worst], golden[worst]), worst

    tensors = {k: v.float().contiguous() for k, v in golden.items()}
    tensors.update(sample=sample, target=target, timestep=timestep)
    assert all(torch.isfinite(v).all() for v in tensors.values())
    save_file(tensors, os.path.join(path, "golden.safetensors"))

    zeros = [k for k in golden if k.startswith("grad.") and golden[k].abs().max() < 1e-12]
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters <= 35_000
    print(f"unet/{name}: {parameters} parameters, loss {golden['loss'].item():.6f}, "
          f"torch in float32 differs by {noise[0]:.1e} (output), {noise[1]:.1e} (worst: {noise[2]}), "
          f"relative to each tensor's largest value")
    smallest = min((v.abs().max().item(), k) for k, v in golden.items() if k.startswith("grad.") and k not in zeros)
    print(f"    zero gradients: {', '.join(zeros) or 'none'}; smallest other {smallest[1]} {smallest[0]:.1e}")
    bad = [k for k in zeros if not k.endswith("to_k.bias")]
    assert not bad, bad  # to_k.bias cancels in the softmax


def scaled_error(a, b):
    scale = b.abs().max().item()
    return 0.0 if scale < 1e-12 else (a.double() - b.double()).abs().max().item() / scale


def odd_size_fails():
    """An odd size that must be downsampled does not come back: 7 -> 4 -> 8 (or 7 -> 3 -> 6)."""
    for padding in (0, 1):
        model = UNet2DModel(
            in_channels=1, out_channels=1, sample_size=7, block_out_channels=(4, 4), layers_per_block=1,
            down_block_types=(DOWN, DOWN), up_block_types=(UP, UP), norm_num_groups=2,
            attention_head_dim=4, downsample_padding=padding,
        )
        try:
            model(torch.zeros(1, 1, 7, 7), 0)
        except RuntimeError as e:
            print(f"odd_7 (downsample_padding {padding}) skipped, diffusers fails: {e}")
        else:
            raise AssertionError("diffusers handles 7x7 after all: add the fixture")


def write_schedules(out_dir):
    cases = []
    for schedule in ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"):
        for steps in (1000, 100, 10):
            scheduler = DDPMScheduler(num_train_timesteps=steps, beta_schedule=schedule)
            ts = list(range(steps)) if steps == 10 else [0, 1, 2, steps // 4, steps // 2, steps - 2, steps - 1]
            case = dict(
                beta_schedule=schedule, num_train_timesteps=steps,
                beta_start=scheduler.config.beta_start, beta_end=scheduler.config.beta_end, timesteps=ts,
                betas=[scheduler.betas[t].item() for t in ts],
                alphas_cumprod=[scheduler.alphas_cumprod[t].item() for t in ts],
            )
            if schedule == "squaredcos_cap_v2":
                case["max_beta"] = 0.999
            for variance in ("fixed_small", "fixed_large"):
                case["variance_" + variance] = [
                    scheduler._get_variance(t, variance_type=variance).item() for t in ts
                ]
            cases.append(case)
    notes = [
        "Values are float32, written exactly; lists run along `timesteps`.",
        "beta_start and beta_end are unused by squaredcos_cap_v2; its betas are capped at max_beta.",
        "variance_fixed_small: (1-acp[t-1])/(1-acp[t]) * (1-acp[t]/acp[t-1]) with acp[-1] = 1, clamped at 1e-20 from "
        "below, so 1e-20 at t=0. step() draws no noise at t=0, so that value is not used.",
        "variance_fixed_large: 1-acp[t]/acp[t-1], not clamped; at t=0 it is 1-acp[0], i.e. beta_0 up to rounding.",
    ]
    write_json(os.path.join(out_dir, "schedules.json"), dict(versions=versions(), notes=notes, cases=cases))
    print(f"schedules.json: {len(cases)} cases")


STEP_SEED = 77


def write_steps(out_dir):
    torch.manual_seed(2000)
    shape = (2, 3, 4, 4)
    sample, model_output = torch.randn(shape), torch.randn(shape)
    noise = randn_tensor(shape, generator=torch.Generator().manual_seed(STEP_SEED), dtype=sample.dtype)
    tensors = dict(sample=sample, model_output=model_output, noise=noise)
    steps, mixes = [], []
    for schedule in ("linear", "squaredcos_cap_v2"):
        for prediction in ("epsilon", "sample", "v_prediction"):
            for clip in (True, False):
                for variance in ("fixed_small", "fixed_large"):
                    scheduler = DDPMScheduler(
                        num_train_timesteps=1000, beta_schedule=schedule, prediction_type=prediction,
                        clip_sample=clip, variance_type=variance,
                    )
                    scheduler.set_timesteps(1000)
                    for t in (999, 500, 1, 0):
                        key = f"{schedule}.{prediction}.{'clip' if clip else 'noclip'}.{variance}.{t}"
                        generator = torch.Generator().manual_seed(STEP_SEED)
                        result = scheduler.step(model_output, t, sample, generator=generator)
                        tensors[key + ".prev_sample"] = result.prev_sample
                        tensors[key + ".pred_original_sample"] = result.pred_original_sample.clone()
                        steps.append(dict(
                            key=key, beta_schedule=schedule, prediction_type=prediction, clip_sample=clip,
                            variance_type=variance, timestep=t,
                        ))
        scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule=schedule)
        for ts in ([0, 1], [500, 250], [998, 999]):
            key = f"{schedule}.mix.{ts[0]}_{ts[1]}"
            t = torch.tensor(ts)
            tensors[key + ".add_noise"] = scheduler.add_noise(sample, noise, t)
            tensors[key + ".velocity"] = scheduler.get_velocity(sample, noise, t)
            mixes.append(dict(key=key, beta_schedule=schedule, timesteps=ts))
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(out_dir, "steps.safetensors"))
    notes = [
        "step: prev_sample and pred_original_sample (after the clip) of step(model_output, timestep, sample), "
        "num_train_timesteps 1000, set_timesteps(1000), beta_start 1e-4, beta_end 0.02, clip_sample_range 1; "
        "the noise drawn is `noise`, and none is added at timestep 0.",
        "mix: add_noise(sample, noise, timesteps) and get_velocity(sample, noise, timesteps), one timestep per image.",
        "float32 arithmetic throughout.",
    ]
    write_json(os.path.join(out_dir, "steps.json"), dict(versions=versions(), notes=notes, step=steps, mix=mixes))
    print(f"steps.safetensors: {len(steps)} steps, {len(mixes)} add_noise/get_velocity")


SPACINGS = ("leading", "trailing", "linspace")
PREDICTIONS = ("epsilon", "sample", "v_prediction")


def write_few_steps(out_dir):
    torch.manual_seed(3000)
    shape = (2, 3, 4, 4)
    sample, noise = torch.randn(shape), torch.randn(shape)
    outputs = torch.randn((5, *shape))
    tensors = dict(sample=sample, noise=noise)
    tensors.update({f"model_output.{i}": output for i, output in enumerate(outputs)})
    spacings, steps, walks = [], [], []
    for spacing in SPACINGS:
        for count in (5, 10, 20, 50, 300):
            for offset in (0, 1) if spacing == "leading" else (0,):
                scheduler = DDIMScheduler(1000, timestep_spacing=spacing, steps_offset=offset)
                scheduler.set_timesteps(count)
                spacings.append(dict(spacing=spacing, steps=count, offset=offset, timesteps=scheduler.timesteps.tolist()))
        for prediction in PREDICTIONS:
            # With clipping, the noise is what the model said, or what is left once the clipped image is taken away.
            for name, clip, clipped_output in (("clip", True, False), ("clipped", True, True), ("noclip", False, False)):
                for eta in (0.0, 0.5, 1.0):
                    scheduler = DDIMScheduler(
                        1000, timestep_spacing=spacing, prediction_type=prediction, clip_sample=clip, set_alpha_to_one=True
                    )
                    scheduler.set_timesteps(50)
                    visited = scheduler.timesteps.tolist()
                    for t in (visited[0], visited[24], visited[-1]):
                        key = f"{spacing}.{prediction}.{name}.{eta}.{t}"
                        result = scheduler.step(
                            outputs[0], t, sample, eta=eta, variance_noise=noise, use_clipped_model_output=clipped_output
                        )
                        tensors[key] = result.prev_sample
                        prev = t - 20
                        steps.append(dict(
                            key=key, prediction_type=prediction, clip_sample=clip,
                            use_clipped_model_output=clipped_output, eta=eta, timestep=t,
                            previous=prev if prev >= 0 else None,
                        ))
            scheduler = DPMSolverMultistepScheduler(
                1000, timestep_spacing=spacing, prediction_type=prediction, algorithm_type="dpmsolver++", solver_order=2,
                solver_type="midpoint", beta_schedule="linear", beta_start=1e-4, beta_end=0.02,
            )
            scheduler.set_timesteps(len(outputs))
            x, visited = sample, scheduler.timesteps.tolist()
            for i, t in enumerate(visited):
                x = scheduler.step(outputs[i], t, x).prev_sample
                tensors[f"walk.{spacing}.{prediction}.{i}"] = x
            walks.append(dict(spacing=spacing, prediction_type=prediction, timesteps=visited))
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(out_dir, "few_steps.safetensors"))
    notes = [
        "1000 timesteps, beta_schedule linear from 1e-4 to 0.02, clip_sample_range 1, set_alpha_to_one.",
        "spacings: what DDIMScheduler visits.",
        "steps: DDIMScheduler.step(model_output.0, timestep, sample) with 50 steps and `noise`; diffusers steps to "
        "timestep - 20 for every spacing, to the clean image where that is below 0.",
        "walks: DPMSolverMultistepScheduler (dpmsolver++, order 2, midpoint) from `sample` with the five model outputs.",
    ]
    value = dict(versions=versions(), notes=notes, spacings=spacings, steps=steps, walks=walks)
    write_json(os.path.join(out_dir, "few_steps.json"), value)
    print(f"few_steps.safetensors: {len(steps)} DDIM steps, {len(walks)} DPM-Solver++ walks")


def versions():
    return dict(
        diffusers=diffusers.__version__, torch=torch.__version__, safetensors=safetensors.__version__,
        numpy=numpy.__version__,
    )


def write_json(path, value):
    """One list element per line at the second level, so that the file stays small."""
    parts = []
    for key, v in value.items():
        if isinstance(v, list):
            rows = ",\n  ".join(json.dumps(x) for x in v)
            parts.append(f" {json.dumps(key)}: [\n  {rows}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(v)}")
    with open(path, "w") as f:
        f.write("{\n" + ",\n".join(parts) + "\n}\n")
    with open(path) as f:
        assert json.load(f) == value


def main():
    out_dir = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
    os.makedirs(out_dir, exist_ok=True)
    for name in MODELS:
        shutil.rmtree(os.path.join(out_dir, "unet", name), ignore_errors=True)
    print("Python", platform.python_version(), versions())
    for index, name in enumerate(MODELS):
        write_unet(out_dir, index, name)
    odd_size_fails()
    write_schedules(out_dir)
    write_steps(out_dir)
    write_few_steps(out_dir)
    total = 0
    for root, _, files in sorted(os.walk(out_dir)):
        for file in sorted(files):
            path = os.path.join(root, file)
            total += os.path.getsize(path)
            print(f"{os.path.getsize(path):9d}  {os.path.relpath(path, out_dir)}")
    print(f"{total:9d}  total")
    assert total < 2_500_000


if __name__ == "__main__":
    main()
