"""Proves a command read-only by the table of programs, or says which part is not in it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from worker.guardrails import kinds
from worker.guardrails.shell import Pipeline, Script, Simple
from worker.guardrails.table import CommandClass, Rule, Style, Table
from worker.guardrails.words import Word

_PROGRAM = re.compile(r"(?:(?:(?:/usr(?:/local)?)?/s?bin|/opt/kafka/bin)/)?([A-Za-z0-9._+-]+)")
_NUMBER = re.compile(r"-\d+")


class UnprovenError(Exception):
    """A part of a command that the table does not cover; never leaves this module's callers in `guardrails`."""


@dataclass
class _Reading:
    """The words of one command while they are matched against a rule."""

    program: str
    rule: Rule
    words: list[Word]
    hosts: tuple[str, ...] = ()
    given: set[str] = field(default_factory=set)
    operands: list[Word] = field(default_factory=list)
    entered: list[str] = field(default_factory=list)

    def take(self, option: str) -> Word:
        if not self.words:
            raise UnprovenError(f"{option} lacks its value")
        return self.words.pop(0)

    def check(self, name: str, word: Word, kind: str) -> None:
        if not kinds.fits(word, kind, self.hosts):
            raise UnprovenError(f"{name} {word.text[:60]!r} is not a proven {kind}")


def class_of_script(script: Script, table: Table) -> CommandClass:
    """Return READ if every command of the script is in the table as such. Raises `UnprovenError` otherwise."""
    if not script.is_static:
        raise UnprovenError(script.unknowns[0])
    classes = [class_of(pipeline, table) for pipeline in script.pipelines]
    return next((c for c in classes if c is not CommandClass.READ), CommandClass.READ)


def class_of(pipeline: Pipeline, table: Table, *, spared: Callable[[Simple], object] = lambda _: False) -> CommandClass:
    """Return the class of a pipeline. Raises `UnprovenError` where any word of it is not in the table.

    A command that is `spared` is not looked at; what stands behind it still is, and what it may be sent.
    """
    found = CommandClass.READ
    for position, command in enumerate(pipeline.members):
        if not spared(command):
            rule = rule_of(command, table)
            if rule.no_input and not _has_no_input(pipeline, position):
                raise UnprovenError(f"{command.texts[0]} would send what it reads: end it with </dev/null")
            found = found if rule.command_class is CommandClass.READ else rule.command_class
    return found


def rule_of(command: Simple, table: Table) -> Rule:
    """Return the rule that one command fits, or the one that it runs within a limit.

    Raises `UnprovenError` where any word of it is not in the table.
    """
    if command.limited:
        limit, command = command.limited
        _prove(_begin(limit, table))
    reading = _begin(command, table)
    _prove(reading)
    return reading.rule


def entry_of(command: Simple, table: Table) -> tuple[tuple[str, ...], str]:
    """Return the way into the table that a command's words take, and what they come to: a class, or what is open."""
    try:
        reading = _begin(command.limited[0] if command.limited else command, table)
    except UnprovenError as error:
        return (), str(error)
    try:
        _prove(reading)
        said = f"class {reading.rule.command_class}"
    except UnprovenError as error:
        said = str(error)
    return (reading.program, *reading.entered), said


def _begin(command: Simple, table: Table) -> _Reading:
    if not all(redirect.is_harmless for redirect in command.redirects):
        raise UnprovenError("a redirection")
    if not command.words:
        raise UnprovenError("no program")
    program, rule = _program(command.words[0], table)
    return _Reading(program, rule, list(command.words[1:]), table.hosts)


def _prove(reading: _Reading) -> None:
    if reading.rule.together:
        words = Word(" ".join(word.text for word in reading.words), is_static=all(w.is_static for w in reading.words))
        reading.check(reading.program, words, reading.rule.together)
        return
    _read_words(reading)
    _check_operands(reading)
    _check_company(reading)


def _has_no_input(pipeline: Pipeline, position: int) -> bool:
    """Say whether it is said that nothing is read: `</dev/null`, or an `echo` of nothing at the pipeline's begin."""
    before = pipeline.members[0].texts if position == 1 else ()
    is_empty_echo = before in {("echo",), ("echo", ""), ("echo", "-n"), ("true",)}
    return is_empty_echo or any(redirect.descriptor == 0 for redirect in pipeline.members[position].redirects)


def _check_company(reading: _Reading) -> None:
    """See that what must be given is given."""
    if reading.rule.needs_operand and not reading.operands:
        raise UnprovenError(f"{reading.program} without an operand")
    needed = [reading.rule.needs] if reading.rule.needs else []
    needed += [reading.rule.operands_need] if reading.rule.operands_need and reading.operands else []
    needed += [others for option, others in reading.rule.requires.items() if option in reading.given]
    for options in needed:
        if not reading.given & set(options.split()):
            raise UnprovenError(f"{reading.program} without one of {options}")


def known_harm(command: Simple, table: Table) -> CommandClass | None:
    """Return WRITE or SECRET for a command whose leading words are in the table as such, whatever follows."""
    leading = command.leading
    match = _PROGRAM.fullmatch(leading[0]) if leading else None
    rule = table.by_name.get(match[1]) if match else None
    for word in leading[1:]:
        if rule is None or not rule.commands:
            break
        if word.startswith("-"):
            return None  # where the subcommand is, is not certain
        rule = rule.by_name.get(word)
    return rule.command_class if rule and rule.command_class is not CommandClass.READ else None


def _program(word: Word, table: Table) -> tuple[str, Rule]:
    match = _PROGRAM.fullmatch(word.text) if word.is_static else None
    rule = table.by_name.get(match[1]) if match else None
    if match is None or rule is None:
        raise UnprovenError(f"the rules do not know the program {word.text[:60]}")
    return match[1], rule


def _read_words(reading: _Reading) -> None:
    while reading.words:
        word = reading.words.pop(0)
        if reading.rule.style is Style.LITERAL:
            reading.operands.append(word)
        elif word.is_static and word.text == "--":
            reading.operands += reading.words
            reading.words = []
        elif word.is_static and _is_option(reading, word.text):
            _read_option(reading, word.text)
        elif reading.rule.commands:
            _enter(reading, word)
        else:
            reading.operands.append(word)


def _is_option(reading: _Reading, text: str) -> bool:
    return text.startswith("-") and text != "-" and not (reading.rule.options_first and reading.operands)


def _enter(reading: _Reading, word: Word) -> None:
    child = reading.rule.by_name.get(word.text) if word.is_static else None
    if child is None:
        raise UnprovenError(f"the rules do not know the subcommand {word.text[:60]}")
    reading.rule = child
    reading.entered.append(word.text)


def _read_option(reading: _Reading, text: str) -> None:
    rule = reading.rule
    if rule.numeric and _NUMBER.fullmatch(text):
        return
    if text.startswith("--") or rule.style is Style.WORDS:
        _read_long(reading, text)
        return
    if text in rule.flag_set or text in rule.value_kinds:  # such as kubectl's or java's one-dash words
        _read_long(reading, text)
        return
    _read_bundle(reading, text)


def _read_long(reading: _Reading, text: str) -> None:
    rule = reading.rule
    name, equals, value = text.partition("=")
    if not equals and (name in rule.flag_set or name in rule.optional_set):
        pass
    elif equals and name in rule.optional_set:
        reading.check(name, Word(value), rule.value_kinds.get(name, "plain"))
    elif equals and name in rule.flag_set and value == "false":
        reading.given.discard(name)
        return
    elif equals and name in rule.flag_set and value == "true":
        pass
    elif name in rule.value_kinds:
        reading.check(name, Word(value) if equals else reading.take(name), rule.value_kinds[name])
    elif name in rule.pair_set and not equals:
        for _ in range(2):
            reading.check(name, reading.take(name), "text")
    else:
        raise UnprovenError(f"the rules do not know the option {name[:60]}")
    reading.given.add(name)


def _read_bundle(reading: _Reading, text: str) -> None:
    """Read `-abc`: flags, of which the last may take the rest, or the next word, as its value."""
    letters = text[1:]
    for position, letter in enumerate(letters, start=1):
        option, rest = f"-{letter}", letters[position:]
        if reading.rule.style is Style.GO:
            rest = rest.removeprefix("=")
        reading.given.add(option)
        if option in reading.rule.value_kinds:
            value = Word(rest) if rest else reading.take(option)
            reading.check(option, value, reading.rule.value_kinds[option])
            return
        if option in reading.rule.optional_set:
            reading.check(option, Word(rest), "plain")
            return
        if option not in reading.rule.flag_set:
            raise UnprovenError(f"the rules do not know the option {option}")


def _check_operands(reading: _Reading) -> None:
    rule = reading.rule
    if rule.commands and not rule.alone:
        raise UnprovenError("a subcommand is missing")
    expected = list(rule.operands)
    if expected and reading.given & set(rule.instead_of_first.split()):
        expected.pop(0)
    for word, kind in zip(reading.operands, _positions(expected), strict=False):
        if kind is None:
            raise UnprovenError(f"the rules do not expect {word.text[:60]}")
        reading.check("operand", word, kind)


def _positions(expected: list[str]) -> Iterator[str | None]:
    """Yield the kind of each operand: the last repeats if it has a `*`, else None for one too many."""
    for kind in expected:
        while kind.endswith("*"):
            yield kind[:-1]
        yield kind
    while True:
        yield None
