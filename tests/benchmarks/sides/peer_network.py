"""nnU-Net's network on windows, nothing else; run by its own interpreter: peer_network.py REQUEST ANSWER."""

import json
import multiprocessing
import sys
import time

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet


def main(request_file: str, answer_file: str) -> None:
    """Seconds per window of each patch in fp32, as nnUNetv2_predict computes it on a CPU."""
    with open(request_file) as handle:
        request = json.load(handle)
    torch.set_num_threads(multiprocessing.cpu_count())
    widths = request["widths"]
    network = PlainConvUNet(
        1, len(widths), widths, torch.nn.Conv3d, 3, [1] + [2] * (len(widths) - 1), 2, 3, 2, conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=False,
    ).eval()  # fmt: skip
    answer = {}
    with torch.inference_mode():
        for patch in request["patches"]:
            window, seconds = torch.randn(1, 1, *patch), []
            for _ in range(request["warm_up"] + request["repeats"]):
                began = time.perf_counter()
                network(window)
                seconds.append(time.perf_counter() - began)
            answer["x".join(map(str, patch))] = seconds[request["warm_up"] :]
    with open(answer_file, "w") as handle:
        json.dump(answer, handle)


if __name__ == "__main__":
    main(*sys.argv[1:])
