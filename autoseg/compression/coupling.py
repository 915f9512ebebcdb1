"""Which channels of a network stand and fall together: read off its spec, as its forward pass is wired.

A group is a set of channels that are written by one convolution, or by several whose maps are added up, and read by
those after it: through skip connections, concatenations and at the heads of deep supervision. The channels of the image
and of a cascade's earlier stage, and the logits, belong to no group: they are always kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from autoseg.errors import OptionError
from autoseg.networks.shared_names import ordinary_name
from autoseg.plans import NetworkSpec


@dataclass(frozen=True)
class Part:
    """Where the channels of a group lie in a tensor of a network: along `axis`, from `start` on."""

    tensor: str
    axis: int
    start: int = 0


@dataclass(frozen=True)
class Slot:
    """A width in a spec: spec.levels[level].FIELD[position]; upsampled_width is a number, its position 0."""

    level: int
    field: str
    position: int = 0


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are kept or cut together.

    slots: the widths of the spec that they are. writers: outputs of convolutions, scales and shifts of norms. readers:
    inputs of convolutions.
    """

    name: str
    width: int
    slots: tuple[Slot, ...]
    writers: tuple[Part, ...]
    readers: tuple[Part, ...]

    @property
    def convolutions(self) -> tuple[Part, ...]:
        """The writers that are weights of convolutions."""
        return tuple(part for part in self.writers if not _is_of_norm(part.tensor))

    @property
    def norms(self) -> tuple[str, ...]:
        """The names of the normalisations among the writers."""
        owners = (part.tensor.rpartition(".")[0] for part in self.writers if _is_of_norm(part.tensor))
        return tuple(dict.fromkeys(owners))


def _is_of_norm(tensor: str) -> bool:
    return ordinary_name(tensor).rpartition(".")[0].endswith("norm")


@dataclass(frozen=True)
class Coupling:
    """All groups of a network by name.

    apart: pairs of groups whose widths must differ. A residual block leads its input around through a convolution only
    where the width changes: were both widths cut to the same, that convolution would no longer be built.
    """

    groups: dict[str, ChannelGroup]
    apart: tuple[tuple[str, str], ...] = ()

    @property
    def widths(self) -> dict[str, int]:
        """The width of every group."""
        return {name: group.width for name, group in self.groups.items()}

    @property
    def parts(self) -> Iterator[tuple[ChannelGroup, Part]]:
        """Every place of every group."""
        return ((group, part) for group in self.groups.values() for part in (*group.writers, *group.readers))


@dataclass
class _Growing:
    """A group while the network is walked through."""

    name: str
    width: int
    slots: list[Slot] = field(default_factory=list)
    writers: list[Part] = field(default_factory=list)
    readers: list[Part] = field(default_factory=list)


@dataclass
class _Wiring:
    """The network's forward pass as who writes and who reads."""

    spec: NetworkSpec
    groups: list[_Growing] = field(default_factory=list)
    apart: list[tuple[str, str]] = field(default_factory=list)

    def group(self, name: str, width: int, slot: Slot) -> _Growing:
        """A new group."""
        made = _Growing(name, width, [slot])
        self.groups.append(made)
        return made

    def block(self, prefix: str, inputs: Sequence[_Growing], output: _Growing) -> None:
        """A convolution over the concatenated inputs (none for the image), and its norm."""
        start = 0
        for group in inputs:
            group.readers.append(Part(f"{prefix}.convolution.weight", 1, start))
            start += group.width
        names = ("convolution.weight", "norm.weight", "norm.bias")
        output.writers += [Part(f"{prefix}.{name}", 0) for name in names]


def channel_groups(spec: NetworkSpec) -> Coupling:
    """The groups of a network; OptionError for an architecture that is not known here."""
    if spec.architecture not in _ENCODERS:
        raise OptionError(
            f"Channels of the architecture {spec.architecture!r} cannot be pruned.", f"Known: {', '.join(_ENCODERS)}."
        )
    wiring = _Wiring(spec)
    _wire_decoder(wiring, _ENCODERS[spec.architecture](wiring))
    groups = {
        group.name: ChannelGroup(
            group.name, group.width, tuple(group.slots), tuple(group.writers), tuple(group.readers)
        )
        for group in wiring.groups
    }
    return Coupling(groups, tuple(wiring.apart))


def _wire_plain(wiring: _Wiring) -> list[_Growing]:
    """Convolution blocks one after the other; gives what each level hands on."""
    features: list[_Growing] = []
    inputs: list[_Growing] = []
    for number, level in enumerate(wiring.spec.levels):
        for position, width in enumerate(level.encoder_widths):
            prefix = f"encoder.{number}.{position}"
            group = wiring.group(prefix, width, Slot(number, "encoder_widths", position))
            wiring.block(prefix, inputs, group)
            inputs = [group]
        features.append(inputs[0])
    return features


def _wire_residual(wiring: _Wiring) -> list[_Growing]:
    """A stem and residual blocks: where a block's input is led around as it is, both share a group."""
    levels = wiring.spec.levels
    x = wiring.group("encoder.0.0", levels[0].encoder_widths[0], Slot(0, "encoder_widths", 0))
    wiring.block("stem", [], x)
    features = []
    for number, level in enumerate(levels):
        for position in range(len(level.encoder_widths)):
            x = _wire_residual_block(wiring, x, number, position)
        features.append(x)
    return features


def _wire_residual_block(wiring: _Wiring, x: _Growing, number: int, position: int) -> _Growing:
    level, prefix = wiring.spec.levels[number], f"encoder.{number}.{position}"
    width, slot = level.encoder_widths[position], Slot(number, "encoder_widths", position)
    inner = wiring.group(f"{prefix}.inner", level.inner_widths[position], Slot(number, "inner_widths", position))
    wiring.block(f"{prefix}.first", [x], inner)
    if width == x.width:
        output = x
        if slot not in x.slots:
            x.slots.append(slot)
    else:
        output = wiring.group(prefix, width, slot)
        is_pooled = position == 0 and any(step > 1 for step in level.stride)
        wiring.block(f"{prefix}.around.{int(is_pooled)}", [x], output)
        wiring.apart.append((x.name, output.name))
    wiring.block(f"{prefix}.second", [inner], output)
    return output


def _wire_decoder(wiring: _Wiring, features: list[_Growing]) -> None:
    """Upsampling, concatenation before the skip connection, blocks, and a head at every level."""
    levels, below = wiring.spec.levels, features[-1]
    if len(levels) == 1:
        below.readers.append(Part("decoder.heads.0.weight", 1))
    for place, number in enumerate(range(len(levels) - 2, -1, -1)):
        level, prefix = levels[number], f"decoder.levels.{place}"
        assert level.upsampled_width is not None
        up = wiring.group(f"{prefix}.upsample", level.upsampled_width, Slot(number, "upsampled_width"))
        below.readers.append(Part(f"{prefix}.upsample.weight", 0))
        up.writers.append(Part(f"{prefix}.upsample.weight", 1))
        inputs = [up, features[number]]
        for position, width in enumerate(level.decoder_widths):
            name = f"{prefix}.blocks.{position}"
            below = wiring.group(name, width, Slot(number, "decoder_widths", position))
            wiring.block(name, inputs, below)
            inputs = [below]
        below.readers.append(Part(f"decoder.heads.{number}.weight", 1))


_ENCODERS: dict[str, Callable[[_Wiring], list[_Growing]]] = {"unet": _wire_plain, "residual_unet": _wire_residual}
