"""What every registered network must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoseg.networks import NETWORKS, build_network
from autoseg.networks.cost import network_cost
from autoseg.networks.storage import load_network, save_network
from autoseg.plans import Ints, LevelSpec, NetworkSpec

GRIDS: dict[str, tuple[Ints, Ints, Ints]] = {
    "2d": ((2, 2), (3, 3), (16, 24)),
    "3d": ((2, 2, 2), (3, 3, 3), (8, 16, 8)),
    "anisotropic": ((1, 2, 2), (1, 3, 3), (3, 16, 8)),
}


def spec_of(architecture: str, stride: Ints, kernel: Ints) -> NetworkSpec:
    widths = (4, 6, 8)
    levels = [
        LevelSpec(
            stride=stride if number else (1,) * len(stride),
            kernel=kernel,
            encoder_widths=(width, width),
            inner_widths=() if architecture == "unet" else (width, width),
            upsampled_width=width if number < 2 else None,
            decoder_widths=(width,) if number < 2 else (),
        )
        for number, width in enumerate(widths)
    ]
    return NetworkSpec(architecture, len(stride), 2, 3, tuple(levels))


@pytest.mark.parametrize("architecture", NETWORKS)
@pytest.mark.parametrize(("stride", "kernel", "patch"), GRIDS.values(), ids=GRIDS)
class TestEveryNetwork:
    def test_gives_logits_of_every_level_only_in_training(
        self, architecture: str, stride: Ints, kernel: Ints, patch: Ints
    ) -> None:
        network, image = build_network(spec_of(architecture, stride, kernel)), torch.randn(2, 2, *patch)
        half = tuple(edge // step for edge, step in zip(patch, stride, strict=True))
        assert [logits.shape for logits in network(image)] == [(2, 3, *patch), (2, 3, *half)]
        assert network.eval()(image).shape == (2, 3, *patch)
        network.train().deep_supervision = False
        assert network(image).shape == (2, 3, *patch)

    @pytest.mark.parametrize("exclusive", [True, False])
    def test_at_first_expects_every_class_to_be_rare(
        self, architecture: str, stride: Ints, kernel: Ints, patch: Ints, exclusive: bool
    ) -> None:
        network = build_network(spec_of(architecture, stride, kernel))
        network.decoder.expect_background(exclusive=exclusive)
        for head in network.decoder.heads:
            torch.nn.init.zeros_(head.weight)
        logits = network.eval()(torch.randn(1, 2, *patch))
        classes = logits.softmax(1)[:, 1:] if exclusive else logits.sigmoid()
        torch.testing.assert_close(classes, torch.full_like(classes, 0.01))

    def test_every_weight_is_used_and_registered_once(
        self, architecture: str, stride: Ints, kernel: Ints, patch: Ints
    ) -> None:
        spec = spec_of(architecture, stride, kernel)
        network = build_network(spec)
        sum(logits.square().sum() for logits in network(torch.randn(2, 2, *patch))).backward()
        assert all(parameter.grad is not None for parameter in network.parameters())
        stored = sum(tensor.numel() for tensor in network.state_dict().values())
        assert stored == sum(parameter.numel() for parameter in network.parameters())
        assert stored == network_cost(spec, patch, 2).parameters

    def test_is_drawn_by_the_seed(self, architecture: str, stride: Ints, kernel: Ints, patch: Ints) -> None:
        image, answers = torch.randn(1, 2, *patch), []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            answers.append(build_network(spec_of(architecture, stride, kernel)).eval()(image))
        assert torch.equal(answers[0], answers[1])
        assert not torch.allclose(answers[0], answers[2])

    def test_memory_format_changes_nothing(self, architecture: str, stride: Ints, kernel: Ints, patch: Ints) -> None:
        network, image = build_network(spec_of(architecture, stride, kernel)).eval(), torch.randn(2, 2, *patch)
        kind = torch.channels_last if len(patch) == 2 else torch.channels_last_3d
        with torch.inference_mode():
            expected = network(image)
            found = network.to(memory_format=kind)(image.contiguous(memory_format=kind))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)

    def test_samples_do_not_mix(self, architecture: str, stride: Ints, kernel: Ints, patch: Ints) -> None:
        network, image = build_network(spec_of(architecture, stride, kernel)).eval(), torch.randn(2, 2, *patch)
        torch.testing.assert_close(network(image)[1:], network(image[1:]), rtol=1e-3, atol=1e-4)

    def test_survives_the_disk(
        self, architecture: str, stride: Ints, kernel: Ints, patch: Ints, tmp_path: Path
    ) -> None:
        network = build_network(spec_of(architecture, stride, kernel)).eval()
        save_network(tmp_path / "model.safetensors", network)
        image = torch.randn(1, 2, *patch)
        assert torch.equal(load_network(tmp_path / "model.safetensors")(image), network(image))

    def test_learns_to_tell_bright_from_dark(self, architecture: str, stride: Ints, kernel: Ints, patch: Ints) -> None:
        torch.manual_seed(0)
        network = build_network(spec_of(architecture, stride, kernel))
        network.deep_supervision = False
        image = torch.randn(2, 2, *patch)
        labels = (image[:, 0] > 0).long()
        optimizer = torch.optim.AdamW(network.parameters(), 3e-2)
        losses = []
        for _ in range(30):
            loss = torch.nn.functional.cross_entropy(network(image), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.6 * losses[0]
