"""Files to volumes and back, by file ending; the only place that knows the axis order and the world of a format."""

from autoseg.io.formats import FILE_ENDINGS
from autoseg.io.reading import compact_dtype, read_channels, read_geometry, read_image, read_labels
from autoseg.io.volume import Volume
from autoseg.io.writing import write_image, write_labels

__all__ = [
    "FILE_ENDINGS",
    "Volume",
    "compact_dtype",
    "read_channels",
    "read_geometry",
    "read_image",
    "read_labels",
    "write_image",
    "write_labels",
]
