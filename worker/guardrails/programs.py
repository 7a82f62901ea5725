"""Proves the little programs inside commands (sed, awk, jq) free of writing, running and opening files.

Each proof is a test over the whole text that does not depend on how the language splits it into tokens.
"""

import re


def _sed_expression(end: str) -> str:
    """Return what ends with this character however a sed reads brackets: they are closed, and it is not in them."""
    brackets = rf"\[\^?+\]?+(?:\[:\w+:\]|[^\[\]{end}\\\n])*+\]"
    return rf"[^\[{end}\\\n]*(?:(?:\\[^\n]|{brackets})[^\[{end}\\\n]*)*{end}"


_SED_ADDRESS = rf"(?:\d+|\$|/{_sed_expression('/')}I?|\d+~\d+)"
_SED_SUBSTITUTION = "|".join(
    rf"s{d}{_sed_expression(d)}[^{d}\\\n]*(?:\\[^\n][^{d}\\\n]*)*{d}[gpiI\d]*" for d in map(re.escape, "/|#,;:@")
)
_SED_COMMAND = rf"(?:{_SED_ADDRESS}(?:,(?:{_SED_ADDRESS}|\+\d+))?)? *+!? *+(?:[pdqQ=]|{_SED_SUBSTITUTION})"
_SED = re.compile(rf" *+(?:{_SED_COMMAND})(?: *+[;\n] *+(?:{_SED_COMMAND}))* *+;? *+")

_AWK_FORBIDDEN = re.compile(
    r"system|getline|close|fflush|ENVIRON|PROCINFO|ARG[VC]|SYMTAB|FUNCTAB|extension|@|`|\\\n|(?<!\|)\|(?!\|)|\|\|\|"
)
_AWK_MAX_CHARS = 500

_AWK_BRACKETS = re.compile(r"\((?![^()]*print)[^()\"/\\\n#;{}]*\)")
"""Innermost brackets without quotes, slashes, comments, statements: a `>` in them compares, wherever they stand."""

_YQ_FORBIDDEN = re.compile(
    r"load|(?<![^.]\.)(?<!^\.)env|eval|system|filename|split_doc|input|\$ENV|import|include", re.IGNORECASE
)
_JQ_FORBIDDEN = re.compile(
    r"(?<![^.]\.)(?<!^\.)\b(import|include|env|input_filename|modulemeta|get_search_list)\b|\$(ENV|__|[\s#]|$)"
)
"""Not where one dot makes it a member; some versions take blanks and comments between `$` and a name."""


def is_read_only_sed(script: str) -> bool:
    """Only p, d, q, = and s with the flags g, p, i and numbers: never e, w, r, R, W or -i's company."""
    return len(script) <= _AWK_MAX_CHARS and bool(_SED.fullmatch(script))


def is_read_only_awk(program: str) -> bool:
    """No pipe, no call that runs or opens anything, and `>` only before the first brace or in brackets.

    Statements stand in braces only, so a `>` before the first brace compares and cannot redirect; `>=` never does.
    Between a `(` and its `)` a `>` compares too; nothing in there may begin or end a string, an expression or a
    comment, so that if the `>` is code, the brackets are.
    """
    if len(program) > _AWK_MAX_CHARS or program.startswith("-") or _AWK_FORBIDDEN.search(program):
        return False
    _, _, statements = program.partition("{")
    shorter = _AWK_BRACKETS.sub("", statements)
    while shorter != statements:
        statements, shorter = shorter, _AWK_BRACKETS.sub("", shorter)
    return ">" not in statements.replace(">=", "")


def is_read_only_jq(program: str) -> bool:
    """No modules (they are files) and no environment; jq cannot write or run."""
    return not program.startswith("-") and not _JQ_FORBIDDEN.search(program)


def is_read_only_yq(program: str) -> bool:
    """No file, no environment, nothing evaluated, in either of the two programs of this name; never in place.

    One of them takes an only argument that is a file for one, so that what could be a path is none.
    """
    if "/" in program and not re.match(r"\.[^./]", program):
        return False
    return not program.startswith("-") and not _YQ_FORBIDDEN.search(program)
