"""Operating points compared: the solvers are the published ones, the table holds what was measured."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from diad_train import study
from diad_train.exchange.data import load_good
from diad_train.model.diad import DiAD
from diad_train.schedule import alpha_bar
from diad_train.study import Point, candidates, measure, plot, spread, table, walk_2m
from diad_train.train.pool import held_out_copies, pool_of
from test_train import CONFIG, data


class Gaussian(torch.nn.Module):
    """The exact denoiser of latents drawn from N(0, 4): what a solver should follow is known in closed form."""

    def __init__(self):
        super().__init__()
        self.control_model = torch.nn.Module()
        self.control_model.hint = lambda image: image
        self.bars = torch.from_numpy(alpha_bar())

    def clean(self, z, hint, t):
        bar = self.bars[t][:, None, None, None]
        return z * 4.0 * bar.sqrt() / (4.0 * bar + 1.0 - bar)

    def forward(self, z, hint, t):
        bar = self.bars[t][:, None, None, None]
        return (z - bar.sqrt() * self.clean(z, hint, t)) / (1.0 - bar).sqrt()


def test_solvers_follow_the_exact_flow_and_2m_is_of_second_order():
    model = DiAD(CONFIG.model).eval().double()
    model.denoiser = Gaussian()
    latent, image = torch.ones(1, 4, 8, 8, dtype=torch.float64), torch.zeros(1)
    bars = alpha_bar()

    def errors(steps):
        sampler = spread(600, steps)
        z = math.sqrt(bars[600]) * latent + math.sqrt(1 - bars[600]) * model.start_noise
        # The probability flow of a Gaussian scales with its deviation.
        exact = z * math.sqrt((3 * bars[0] + 1) / (3 * bars[600] + 1))
        model.config = dataclasses.replace(CONFIG.model, sampler=sampler)
        outs = model.denoise(latent, image), walk_2m(model, sampler, latent, image)
        return [float((out - exact).abs().max()) for out in outs]

    (ddim, second), (ddim_fine, second_fine) = errors(20), errors(40)
    assert ddim_fine < 0.7 * ddim and second_fine < 0.4 * second and second_fine < ddim_fine


def test_2m_of_one_step_is_ddim():
    torch.manual_seed(2)
    model = DiAD(CONFIG.model).eval()
    for parameter in model.denoiser.diffusion_model.out.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    sampler = spread(500, 1)
    model.config = dataclasses.replace(CONFIG.model, sampler=sampler)
    latent, image = torch.randn(2, 4, 8, 8), torch.randn(2, 3, 64, 64)
    assert torch.allclose(walk_2m(model, sampler, latent, image), model.denoise(latent, image), atol=1e-5)


def test_measure_fills_every_point_and_table_and_plot_hold_them(tmp_path):
    good = load_good(data(tmp_path / "data"), size=64)
    pool = pool_of(good, tmp_path, copies=1, seed=1)
    model = DiAD(CONFIG.model).eval()
    points = measure(model, CONFIG.model, good, pool, candidates(400, counts=(2, 1)))
    assert [(p.solver, p.start, p.steps) for p in points][:3] == [("ddim", 400, 2), ("ddim", 400, 1), ("2m", 400, 2)]
    assert all(np.isfinite(dataclasses.astuple(p)[3:]).all() and p.seconds > 0 for p in points)
    assert table([Point("ddim", 360, 3, 0.9, 0.95, 0.0644)]).endswith("| ddim | 360 | 3 | 0.900 | 0.950 | 64 |")
    plot(points, tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_measure_has_good_parts_under_the_light_of_the_damaged_ones_and_warms_up_untimed(tmp_path, monkeypatch):
    good = load_good(data(tmp_path / "data"), size=64)
    pool = pool_of(good, tmp_path, copies=3, seed=1)
    seen = []
    monkeypatch.setattr(study, "_measured", lambda *given: seen.append(given[3:]))
    measure(DiAD(CONFIG.model), CONFIG.model, good, pool, candidates(400, counts=(1,)))
    pictures, masks, labels = seen[1]
    copies = held_out_copies(pool)
    assert not (pool.light[copies] == [1.0, 0.0]).all()
    assert (pictures[~labels] == pool.undamaged(copies, good)).all() and not masks[~labels].any()
    assert (pictures[labels] == pool.pictures[copies]).all() and (masks[labels] == pool.masks[copies]).all()
    assert len(seen[0][0]) == study.BATCH and len(seen) == 1 + len(candidates(400, counts=(1,)))
