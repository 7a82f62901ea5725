"""Children that do not outlive their parent, however it ended."""

import shutil
from functools import cache


@cache
def tied_to_parent(signal_name: str = "TERM") -> tuple[str, ...]:
    """Return the prefix of a command that sends it this signal when the thread that started it ends.

    Linux keeps the promise (`PR_SET_PDEATHSIG`), through util-linux's `setpriv`; without that the prefix is empty.
    """
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", signal_name, "--") if setpriv else ()
