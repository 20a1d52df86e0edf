"""The table of stages, and the losses of the alignment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diad_train.config import StageConfig, TrainConfig
from diad_train.train.align import LEAST_DISTANCE, LEAST_LEAD, TEACHER_WEIGHT, map_losses, teacher_losses
from diad_train.train.loop import LAST_RATE_SHARE, _learning_rate
from diad_train.train.order import NETWORKS, STAGE_NAMES, STAGES, used_by

SCALE = 2.0


def test_stages_are_those_of_the_settings_and_use_only_earlier_ones():
    settings = TrainConfig()
    assert list(settings.stages) == list(STAGE_NAMES)
    assert {name for name, kind in TrainConfig.__annotations__.items() if kind == "StageConfig"} == set(STAGE_NAMES)
    for number, stage in enumerate(STAGES):
        assert set(stage.uses) <= set(STAGE_NAMES[:number])
        assert stage.settings(settings) is getattr(settings, stage.name)
    assert NETWORKS == ("autoencoder", "denoiser", "features")
    assert used_by(("sg",)) == {"autoencoder", "denoiser"} and used_by(("distil",)) == set()


def test_learning_rate_rises_to_its_peak_and_ends_at_its_last_share():
    stage = StageConfig(steps=1000, batch=1, learning_rate=0.5, warmup=10)
    rates = [_learning_rate(stage, step) for step in range(1001)]
    assert rates[0] == 0.05 and rates[9] == rates[10] == 0.5
    assert all(np.diff(rates[10:]) < 0) and rates[1000] == pytest.approx(0.5 * LAST_RATE_SHARE)


def half_damaged() -> torch.Tensor:
    """The left half of one part is damaged; a second part is not."""
    mask = torch.zeros(2, 1, 64, 64)
    mask[0, :, :, :32] = 1.0
    return mask


def test_map_losses_are_zero_where_damage_alone_is_distant():
    mask = half_damaged()
    right = map_losses(mask * SCALE, mask, scale=SCALE)
    # The window of the peak reaches over the edge of the damage, where places count as neither.
    assert right["missed"] == 0 and right["false"] == 0 and right["margin"] == 0


def test_map_losses_of_a_map_without_distances_are_what_the_damage_lacks():
    mask = half_damaged()
    got = map_losses(torch.zeros_like(mask), mask, scale=SCALE)
    assert float(got["missed"]) == pytest.approx(SCALE * LEAST_DISTANCE, rel=1e-3)
    assert float(got["margin"]) == pytest.approx(SCALE * LEAST_LEAD, rel=1e-3)
    assert got["false"] == 0


def test_map_losses_count_the_largest_distances_of_good_places_once_more():
    mask = torch.zeros(1, 1, 64, 64)
    distance = torch.zeros_like(mask)
    distance[0, 0, 10, 10] = 1.0
    worst_places = 64 * 64 // 50
    got = map_losses(distance, mask, scale=SCALE)
    assert float(got["false"]) == pytest.approx(1 / 64**2 + 1 / worst_places)
    assert float(got["margin"]) == pytest.approx(1 / 25)  # no damage: the peak alone


def test_teacher_losses_compare_reconstructions_with_the_undamaged_part():
    generator = torch.Generator().manual_seed(1)
    picture, clean = (torch.randn(2, 6, 4, 4, generator=generator) for _ in range(2))
    student = torch.cat([picture, clean])
    same = teacher_losses([student], [picture], [clean])
    assert float(same["imitation"]) == pytest.approx(0, abs=1e-6) and float(same["restoration"]) == pytest.approx(
        0, abs=1e-6
    )
    other = teacher_losses([torch.cat([picture, -clean])], [picture], [clean])
    assert float(other["imitation"]) == pytest.approx(0, abs=1e-6)
    assert float(other["restoration"]) == pytest.approx(TEACHER_WEIGHT * (2.0 + 0.3 * 4.0), rel=1e-4)
