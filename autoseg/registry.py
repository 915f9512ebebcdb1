"""Resolving a name to what it stands for.

A registry is a dict literal in a package's __init__: name to "package.module:Name". Whoever brings their own gives
"package.module:Name" in place of a registered name. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from autoseg.errors import OptionError, unknown_name


def resolve(kind: str, registry: Mapping[str, str], name: str) -> Any:
    """The object that a registered name, or a "package.module:Name", stands for.

    kind: what the registry holds, for the error message ("planner"). Raises OptionError where there is none.
    """
    target = registry.get(name, name)
    module_name, separator, attribute = target.partition(":")
    if not separator or not module_name or module_name.startswith("."):
        raise unknown_name(kind, name, registry)
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise OptionError(f"The {kind} {name!r} cannot be imported ({error}).", "Is its package installed?") from error
    except AttributeError as error:
        raise OptionError(
            f"The module {module_name} has no {attribute!r}.", "Check the name after the colon."
        ) from error
