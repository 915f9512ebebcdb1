from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from autoseg.networks.normalization import CHANNELS_LAST, InstanceNorm, per_sample_norm


def random_case(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[torch.Tensor, InstanceNorm]:
    torch.manual_seed(0)
    x = (torch.randn(shape, dtype=dtype) * 3 + 5).contiguous(memory_format=CHANNELS_LAST[len(shape)])
    norm = InstanceNorm(shape[1]).to(dtype)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    return x.requires_grad_(), norm


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (3, 8, 7, 5), (1, 1, 2, 2, 2), (2, 16, 1, 1, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_torch_in_value_and_gradient(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, norm = random_case(shape, dtype)
    weights = torch.randn(shape, dtype=dtype)
    result = norm(x)
    gradients = torch.autograd.grad((result * weights).sum(), [x, norm.weight, norm.bias])
    expected = F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-5)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), [x, norm.weight, norm.bias])
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 2e-4}
    torch.testing.assert_close(result, expected, **tolerance)
    torch.testing.assert_close(gradients, expected_gradients, **tolerance)


def test_gradient_is_the_derivative() -> None:
    x, norm = random_case((2, 3, 2, 3, 2), torch.float64)
    assert torch.autograd.gradcheck(per_sample_norm, (x, norm.weight, norm.bias))


def test_keeps_channels_last() -> None:
    x, norm = random_case((2, 8, 4, 4, 4), torch.float32)
    assert norm(x).is_contiguous(memory_format=torch.channels_last_3d)


def test_contiguous_input_gives_the_same() -> None:
    x, norm = random_case((2, 8, 4, 4, 4), torch.float32)
    torch.testing.assert_close(norm(x.contiguous()), norm(x), rtol=1e-4, atol=1e-5)


def test_half_precision_input_keeps_its_type_and_float_statistics() -> None:
    x, norm = random_case((2, 8, 4, 4, 4), torch.float32)
    half = x.detach().bfloat16().requires_grad_()
    result = norm(half)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), norm(half.detach().float()), rtol=0.02, atol=0.05)
    result.float().pow(2).sum().backward()
    assert half.grad is not None
    assert half.grad.isfinite().all()


def test_single_voxel_becomes_the_bias() -> None:
    x, norm = random_case((2, 4, 1, 1, 1), torch.float32)
    result = norm(x)
    torch.testing.assert_close(result.flatten(1), norm.bias.detach().expand(2, 4))
    result.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


def test_constant_channel_becomes_the_bias() -> None:
    norm = InstanceNorm(2)
    x = torch.full((1, 2, 3, 3, 3), 7.0).contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(norm(x), torch.zeros_like(x), atol=1e-4, rtol=0)
