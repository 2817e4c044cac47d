"""Progressive distillation: fewer steps that end where the teacher's end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from show1.diffusion.objective import Objective
from show1.errors import SettingsError
from show1.training.config import AdapterConfig, DistillConfig, TrainConfig
from show1.training.distilling import Distillation, student_scheduler
from show1.training.loop import Trainer

Config = Callable[..., TrainConfig]
SCHEDULES = {"epsilon": "linear", "v_prediction": "squaredcos_cap_v2", "sample": "squaredcos_cap_v2"}
VARIANCE = 0.3


def made(config: Config, kind: str, **distill: Any) -> tuple[Distillation, Any]:
    stage = DDIMScheduler(beta_schedule=SCHEDULES[kind], prediction_type=kind, clip_sample=False)
    settings = config("interpolation", distill=DistillConfig(**distill), start={"network": "somewhere"})
    student = student_scheduler(stage, settings.distill.steps)  # type: ignore[union-attr]
    return Distillation(settings, student, Objective(student), nn.Linear(1, 1), torch.device("cpu")), stage


def best_guess(scheduler: Any, kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """What a perfect network predicts for pixels that are independent and normal: E[x | z] = a v z / (a^2 v + s^2)."""

    def predict(z: Tensor, timestep: Tensor) -> Tensor:
        alpha = scheduler.alphas_cumprod[timestep].view(-1, 1, 1, 1, 1)
        signal, spread = alpha.sqrt(), (1 - alpha).sqrt()
        clean = signal * VARIANCE * z / (alpha * VARIANCE + 1 - alpha)
        noise = (z - signal * clean) / spread
        return {"epsilon": noise, "v_prediction": signal * noise - spread * clean, "sample": clean}[kind]

    return predict


@pytest.mark.parametrize("kind", list(SCHEDULES))
@pytest.mark.parametrize("teacher_steps", [8, 20])
def test_one_step_of_a_student_that_learned_it_all_ends_where_the_teachers_steps_end(config: Config, kind: str, teacher_steps: int) -> None:
    distillation, stage = made(config, kind, steps=4, teacher_steps=teacher_steps)
    teacher = DDIMScheduler.from_config(stage.config, timestep_spacing="trailing")
    teacher.set_timesteps(teacher_steps)
    predict, each = best_guess(stage, kind), teacher_steps // 4
    for index, timestep in enumerate(distillation.student.timesteps):
        z = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(index), dtype=torch.float64).float()
        want = z
        for step in teacher.timesteps[index * each : (index + 1) * each]:
            want = teacher.step(predict(want, step.expand(2)), step, want).prev_sample
        clean, noise = distillation.taught(z, timestep.expand(2), predict)
        learned = distillation.objective.target(clean, noise, timestep.expand(2))
        have = distillation.student.step(learned, timestep, z).prev_sample
        assert torch.allclose(have, want, atol=2e-4), (have - want).abs().max()


def test_every_batch_has_all_the_students_timesteps_alike(config: Config) -> None:
    distillation, _ = made(config, "v_prediction", steps=4)
    drawn = distillation.draw_timesteps(8, torch.Generator().manual_seed(0))
    assert sorted(drawn.tolist()) == [249, 249, 499, 499, 749, 749, 999, 999]


def test_noisy_steps_weigh_in_clean_pictures_and_clear_ones_in_noise(config: Config) -> None:
    for kind in SCHEDULES:
        distillation, _ = made(config, kind, steps=1000)
        timesteps = torch.tensor([100, 500, 900])
        snr = torch.as_tensor([float(a / (1 - a)) for a in distillation.student.alphas_cumprod[timesteps]])
        of_clean = {"epsilon": 1 / snr, "v_prediction": 1 / (snr + 1), "sample": torch.ones(3)}[kind]
        assert torch.allclose(distillation.weight(timesteps), snr.clamp(min=1) * of_clean, rtol=1e-4)


@pytest.mark.parametrize("stage", ["keyframes", "interpolation", "pixel", "latent"])
def test_every_kind_of_stage_can_be_distilled(runs: Path, sprites: Path, config: Config, tmp_path: Path, stage: str) -> None:
    start = {
        **config(stage).start,
        "network": f"{stage}/final/{stage_part(stage)}_unet",
        "scheduler": f"{stage}/final/{stage_part(stage)}_scheduler",
    }
    distill = DistillConfig(steps=10, teacher_steps=20, guidance=3.0)
    settings = config(stage, start=start, network={}, scheduler={}, train_text=False, distill=distill, validate_every=2, validation_clips=2)
    trainer = Trainer(settings, tmp_path / "run", base=runs, sprites=sprites)
    task: Any = trainer.task
    before = [value.clone() for value in task.distillation.teacher.parameters()]
    final = trainer.run()
    assert final is not None
    assert all(torch.equal(a, b) for a, b in zip(before, task.distillation.teacher.parameters(), strict=True))
    scheduler = json.loads((final / f"{stage_part(stage)}_scheduler" / "scheduler_config.json").read_text())
    assert (scheduler["_class_name"], scheduler["timestep_spacing"]) == ("DDIMScheduler", "trailing")
    bands = (tmp_path / "run" / "validation.csv").read_text().splitlines()[0].split(",")[1:]
    steps = range(99, 900 if stage == "latent" else 1000, 100)
    assert bands == [f"{step}-{step}" for step in steps]


def stage_part(stage: str) -> str:
    return "pixel_upscale" if stage == "pixel" else stage


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 4, "teacher_steps": 6}, "teacher_steps is 6; use 8 or another multiple of 4"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 4, "guidance": -1.0}, "guidance is -1.0"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        DistillConfig(**changes)


def test_what_cannot_be_distilled_is_refused(config: Config) -> None:
    with pytest.raises(SettingsError, match=r"\[distill\] needs one of the stages .* as `network` in \[start\]"):
        config("interpolation", start={}, distill=DistillConfig(steps=4))
    with pytest.raises(SettingsError, match=r"leave out \[adapter\]"):
        adapter = AdapterConfig(layers=("temporal",))
        config("interpolation", start={"network": "somewhere"}, distill=DistillConfig(steps=4), adapter=adapter)
    with pytest.raises(SettingsError, match=r"steps is 3; use a divisor of the 1000 training timesteps"):
        made(config, "sample", steps=3)
    silent = DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="epsilon")
    with pytest.raises(SettingsError, match="a network that predicts noise has nothing to learn"):
        student_scheduler(silent, 4)
