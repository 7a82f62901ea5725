"""Inputs nobody would type: real commands cut, joined, doubled and sprinkled, and plain noise."""

import random
from collections.abc import Sequence

_SPRINKLE = (
    *"$`;&|<>(){}[]\\\n\t'\"!*?~#=\0\r\x7f",
    "$(",
    "${",
    "<(",
    "<<X\n",
    "&&",
    "||",
    "|&",
    "$'",
    "\u200b",
    "é",
    "😀",
)
_SHORT = ("grep -", "sort", "a = b", "uniq -c1-3", "x", "head -5", "2>&1 cat", "fi", "", "(x)", "{ x; }", "! x")
_MAX_CHARS = 6000


def mutated(chance: random.Random, commands: Sequence[str]) -> str:
    """Return one input: one in four is noise, the rest real commands out of shape; up to 6,000 characters."""
    if chance.random() < 0.25:
        return _noise(chance)
    command = chance.choice(commands)
    for _ in range(chance.randint(1, 6)):
        command = _change(chance, command, commands)
    return command[:_MAX_CHARS]


def _noise(chance: random.Random) -> str:
    length = chance.choice((8, 60, 300, 4096))
    if chance.random() < 0.5:
        return chance.randbytes(length).decode("latin-1")
    return "".join(chance.choices(_SPRINKLE + tuple("abls -/"), k=length))


def _change(chance: random.Random, command: str, commands: Sequence[str]) -> str:
    place = chance.randint(0, len(command))
    kind = chance.randrange(5)
    if chance.random() < 0.1:
        return command + " | " + " | ".join(chance.choices(_SHORT, k=chance.randint(1, 17)))
    if kind == 0:
        return command[:place] + chance.choice(_SPRINKLE) + command[place:]
    if kind == 1:
        return command[:place] + command[place + chance.randint(1, 10) :]
    if kind == 2:
        return command + chance.choice((" | ", "; ", "\n", " && ", " & ")) + chance.choice(commands)
    if kind == 3:
        return command[:place] + command[max(0, place - 20) : place] * chance.choice((2, 5, 40)) + command[place:]
    return command[:place] + chance.choice(_SPRINKLE) * chance.choice((3, 50, 500)) + command[place:]
