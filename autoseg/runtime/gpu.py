"""A GPU: what of its memory is free, and how it is made ready."""

from __future__ import annotations


def is_gpu(device: str) -> bool:
    """Whether a torch device is a CUDA one."""
    return device.partition(":")[0] == "cuda"


def free_memory_bytes(device: str) -> int:
    """What a GPU can still give to this process: its free memory, and what torch holds of it without using it."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def make_ready(device: str) -> None:
    """Let cuDNN try its ways of computing each convolution once: patches have one shape, or one for each organ.

    Elsewhere nothing happens.
    """
    if is_gpu(device):
        import torch

        torch.backends.cudnn.benchmark = True
