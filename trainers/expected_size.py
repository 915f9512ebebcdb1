"""How large a network's file will be after channel pruning and the methods that follow: these are tried beforehand."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg.compression.quantization import QuantizationOptions, bake, quantize
from autoseg.compression.rounded_maps import WEIGHT_LEVELS
from autoseg.compression.search import FileBytes, weight_bytes
from autoseg.compression.threshold_pruning import threshold_masks, zero_masked
from autoseg.inference.model_files import WEIGHTS
from autoseg.networks.storage import describe_stored, load_whole_network, save_network
from autoseg.plans import NetworkSpec, StagePlan

if TYPE_CHECKING:
    from trainers.compressing import Chain


def followed_by(chain: Chain) -> dict[str, Any]:
    """The methods that make files smaller after channel pruning, with what they are told; empty without any."""
    options, found = chain.compression, {}
    if "threshold_pruning" in chain.methods:
        found["threshold_pruning"] = [options.threshold_schedule[-1], options.threshold_scale]
    if "quantization" in chain.methods:
        found["quantization"] = [options.levels, options.level_range]
    elif "int8" in chain.methods and options.quantization_aware:
        found["int8"] = [WEIGHT_LEVELS, None]
    return found


def expected_bytes(chain: Chain, stage: StagePlan) -> FileBytes:
    """The size of the file of a network in place of a stage's, with what every organ that shares it has of its own.

    The methods that follow are applied to the uncompressed network as it is: its file's header, and of the bytes behind
    it the share of weights that stay. Training in between moves the weights, and so this a little.
    """
    methods = followed_by(chain)
    place = replace(chain.job, folder=chain.source).stage_folder(stage)
    network = load_whole_network(place / f"fold_{chain.job.fold_names[0]}" / WEIGHTS)
    if "threshold_pruning" in methods:
        threshold, scale = methods["threshold_pruning"]
        zero_masked(network, threshold_masks(network, threshold, relative=scale == "layer"))
    levels = methods.get("quantization") or methods.get("int8")
    if levels is not None:
        quantize(network, QuantizationOptions(*levels))
    grids = bake(network)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WEIGHTS
        save_network(path, network, grids)
        stored = describe_stored(path)
    behind_header, full = stored.file_bytes - stored.header_bytes, weight_bytes(stage.network)

    def file_bytes(spec: NetworkSpec) -> float:
        return stored.header_bytes + behind_header * weight_bytes(spec) / full

    return file_bytes
