"""autoseg: a self-configuring engine for segmenting medical volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoseg.inference.model import Model

__version__ = "0.1.0"
__all__ = ["load_model"]


def load_model(*args: Any, **kwargs: Any) -> Model:
    """Load a results folder for prediction in process; see autoseg.inference.model.load_model."""
    from autoseg.inference.model import load_model as load

    return load(*args, **kwargs)
