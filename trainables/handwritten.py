"""Files that people write, in YAML or JSON: read strictly, since what stands in them twice is a mistake.

Both formats' own readers keep the last of two equal keys and say nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from trainables.errors import UserError

#: ``2e-5``, which has no dot, so that YAML 1.1 takes it for text.
_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")


def from_yaml(text: str, file: str, *, exponents: bool = False) -> Any:
    """What a YAML text holds.

    Args:
        text: The text.
        file: Begins the errors, as ``"space file 'mine.yaml'"``.
        exponents: Whether ``2e-5`` is a number, as people mean it, or a text, as YAML has it.

    Raises:
        UserError: For what is no YAML, and for a key that stands in one mapping twice, with its lines.
    """
    import yaml

    try:
        return yaml.load(text, _loader(file, exponents))
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{file} is no valid YAML: {error}") from error


def from_json(text: str, file: str) -> Any:
    """What a JSON text holds.

    Args:
        text: The text.
        file: Begins the error.

    Raises:
        UserError: For a key that stands in one mapping twice.
        json.JSONDecodeError: For what is no JSON; it may be YAML.
        RecursionError: For what is nested too deeply.
    """

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise UserError(f"{file}: {twice!r} stands {keys.count(twice)} times in one mapping; give it once")
        return made

    return json.loads(text, object_pairs_hook=mapping)


def _loader(file: str, exponents: bool) -> Any:
    """PyYAML's safe loader with a look at each mapping before keys become a dict's."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            lines: dict[Any, list[int]] = {}
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):  # another kind is refused when the mapping is made
                    lines.setdefault((key.tag, key.value), []).append(key.start_mark.line + 1)
            for (_, key), found in lines.items():
                if len(found) > 1:
                    where = ", ".join(map(str, found))
                    raise UserError(
                        f"{file}: {key!r} stands {len(found)} times in one mapping (lines {where}); give it once"
                    )
            return node

    if exponents:
        Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))
    return Loader
