"""Attributes of trials and studies that are longer than databases keep: in parts.

MySQL and MariaDB keep 64 kB of an attribute, in which the losses of a few thousand instances or
the learning curves of a few hundred do not fit. A longer one is kept as JSON in attributes of its
own, which the attribute itself names.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from typing import Any
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna.study import Study


PREFIX = "robust:"
_PARTS = "robust:parts"
# Characters of JSON; all are ASCII.
_LONGEST = 60_000
# JSON within JSON takes up to twice as many: quotation marks and backslashes are escaped.
_PART = 30_000


def in_parts(name: str, value: Any, earlier: Any = None) -> dict[str, Any]:
    """Return the attributes that keep a value, in the order in which they shall be written.

    Whoever reads between two of these writes reads the earlier value: the parts of a new one are
    others than those that the attribute names until its own write, the last one.

    Example:
        >>> from optuna_robust._instances.long_attributes import in_parts
        >>> in_parts("robust:losses", [0.5, 0.25])
        {'robust:losses': [0.5, 0.25]}
        >>> list(in_parts("robust:losses", [0.5] * 12_001))
        ['robust:losses:0', 'robust:losses:1', 'robust:losses:2', 'robust:losses']

    Args:
        name:
            Name of the attribute.
        value:
            What it shall keep, which JSON can hold.
        earlier:
            What the attribute holds so far.
    """
    if not isinstance(value, (list, dict)):
        return {name: value}
    text = json.dumps(value)
    if len(text) <= _LONGEST:
        return {name: value}
    first = f"{name}:0"
    place = f"{name}:other" if _is_in_parts(earlier) and earlier[_PARTS][0] == first else name
    parts = {
        f"{place}:{number}": text[start : start + _PART]
        for number, start in enumerate(range(0, len(text), _PART))
    }
    return {**parts, name: {_PARTS: list(parts)}}


def all_in_parts(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that keep ours, for a trial that is added; others stay as they are."""
    kept: dict[str, Any] = {}
    for name, value in attrs.items():
        kept.update(in_parts(name, value) if name.startswith(PREFIX) else {name: value})
    return kept


def whole(attrs: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Return an attribute, put together from its parts if it is kept in parts.

    Args:
        attrs:
            The attributes of a trial or a study.
        name:
            Name of the attribute.
        default:
            What is returned if there is none.
    """
    value = attrs.get(name, default)
    if not _is_in_parts(value):
        return value
    return json.loads("".join(attrs[part] for part in value[_PARTS]))


def set_study_attr(study: Study, name: str, value: Any) -> None:
    """Set a user attribute of a study, in parts if it is long."""
    for key, part in in_parts(name, value, study.user_attrs.get(name)).items():
        study.set_user_attr(key, part)


def _is_in_parts(value: Any) -> bool:
    return isinstance(value, dict) and _PARTS in value
