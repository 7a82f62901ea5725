"""The fence around what comes from outside: data to weigh, never instructions to follow.

```
<<<data NONCE
payload
data NONCE>>>
```
"""

import re

_FENCED = re.compile(r"^<<<data (?P<nonce>\S+)\n(?P<payload>.*?)\ndata (?P=nonce)>>>$", re.DOTALL | re.MULTILINE)


def fence(payload: str, nonce: str) -> str:
    """Put the payload between fence lines that nothing in it can close.

    Where the payload itself says `data NONCE`, a backslash comes between; `unfence` takes it away again.
    """
    harmless = re.sub(rf"data (\\*){re.escape(nonce)}", lambda found: f"data \\{found[1]}{nonce}", payload)
    return f"<<<data {nonce}\n{harmless}\ndata {nonce}>>>"


def unfence(text: str) -> list[str]:
    """Return the payloads of all fences in the text, in order, as they were before they were fenced."""
    return [_original(found["payload"], found["nonce"]) for found in _FENCED.finditer(text)]


def _original(payload: str, nonce: str) -> str:
    return re.sub(rf"data \\(\\*){re.escape(nonce)}", lambda found: f"data {found[1]}{nonce}", payload)
