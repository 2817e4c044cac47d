"""What networks are trained on, against closed forms."""

import pytest
import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

from show1.diffusion.objective import Objective
from show1.errors import SettingsError

KINDS = ["epsilon", "v_prediction", "sample"]
TIMES = torch.tensor([0, 100, 500, 998])
CLEAN = torch.randn(4, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(4, 3, 2, 4, 4, generator=torch.Generator().manual_seed(1))


def objective(kind: str = "epsilon", **options: object) -> Objective:
    return Objective(DPMSolverMultistepScheduler(prediction_type=kind, beta_schedule="squaredcos_cap_v2"), **options)


def alphas() -> torch.Tensor:
    return DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod[TIMES]


def test_noising_is_the_forward_process() -> None:
    share = alphas().view(4, 1, 1, 1, 1)
    assert torch.allclose(objective().noised(CLEAN, NOISE, TIMES), share.sqrt() * CLEAN + (1 - share).sqrt() * NOISE, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_targets_lead_back_to_the_clean_video(kind: str) -> None:
    made = objective(kind)
    share = alphas().view(4, 1, 1, 1, 1)
    noisy, target = made.noised(CLEAN, NOISE, TIMES), made.target(CLEAN, NOISE, TIMES)
    back = {
        "epsilon": (noisy - (1 - share).sqrt() * target) / share.sqrt(),
        "v_prediction": share.sqrt() * noisy - (1 - share).sqrt() * target,
        "sample": target,
    }[kind]
    assert (back - CLEAN).abs().max() < (1e-2 if kind == "epsilon" else 1e-5)  # alpha is tiny at 998


@pytest.mark.parametrize("kind", KINDS)
def test_min_snr_weights_are_the_closed_form(kind: str) -> None:
    snr = alphas() / (1 - alphas())
    clamped = torch.minimum(snr, torch.tensor(5.0))
    wanted = {"epsilon": clamped / snr, "v_prediction": clamped / (snr + 1), "sample": clamped}[kind]
    weights = objective(kind, min_snr_gamma=5.0).weight(TIMES)
    assert torch.allclose(weights, wanted, rtol=1e-4) and torch.isfinite(weights).all()


def test_without_gamma_all_timesteps_weigh_the_same() -> None:
    assert torch.equal(objective(min_snr_gamma=None).weight(TIMES), torch.ones(4))


@pytest.mark.parametrize("limit", [None, 800, 200])
def test_timesteps_cover_the_range_evenly(limit: int | None) -> None:
    end = limit or 1000
    times = objective(max_timestep=limit).draw_timesteps(8, torch.Generator().manual_seed(3))
    assert times.dtype == torch.int64 and times.min() >= 0 and times.max() < end
    assert (times.sort().values * 8 // end).tolist() == list(range(8))


def test_timesteps_are_not_in_order_of_the_batch() -> None:
    draws = [objective().draw_timesteps(8, torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert 300 < float(torch.stack(draws)[:, 0].float().mean()) < 700


def test_timesteps_follow_the_generator() -> None:
    one, two = (objective().draw_timesteps(5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("limit", [-1, 1001])
def test_a_limit_outside_the_schedule_is_refused(limit: int) -> None:
    with pytest.raises(SettingsError, match=str(limit)):
        objective(max_timestep=limit)


def test_a_limit_of_zero_is_refused() -> None:
    with pytest.raises(SettingsError, match="max_timestep 0"):
        objective(max_timestep=0)


def test_errors_leave_variance_channels_out() -> None:
    prediction = torch.cat([CLEAN + 2.0, torch.full_like(CLEAN, 1e6)], dim=1)
    assert torch.allclose(objective().errors(prediction, CLEAN), torch.full((4,), 4.0))


def test_errors_can_weigh_places_differently() -> None:
    weights = torch.zeros_like(CLEAN[:, :1])
    weights[..., 0] = 3.0
    assert torch.allclose(objective().errors(CLEAN + 2.0, CLEAN, weights), 4.0 * weights.flatten(1).mean(1))


def test_a_shift_draws_noisier_timesteps() -> None:
    shifted = objective(shift=3.0)
    draws = torch.cat([shifted.draw_timesteps(8, torch.Generator().manual_seed(seed)) for seed in range(200)]).float()
    assert abs(float(draws.median()) - 750) < 5  # 3 u / (1 + 2 u) at u = 1/2
    assert abs(float(draws.quantile(0.25)) - 500) < 8 and 0 <= float(draws.min()) < float(draws.max()) <= 999


def test_only_timesteps_of_the_range_are_drawn() -> None:
    drawn = objective(min_timestep=300, max_timestep=500).draw_timesteps(4000, torch.Generator().manual_seed(0))
    assert (int(drawn.min()), int(drawn.max())) == (300, 499)
    for low in (-1, 1000):
        with pytest.raises(SettingsError, match=f"min_timestep {low}"):
            objective(min_timestep=low)
