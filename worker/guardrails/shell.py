"""Reads a shell command into what it would run, by a real grammar, and says what it could not read.

What the rules prove is what runs: a script that is wholly static is executed from the words read here, never by a
shell, so a difference between this reading and a shell's cannot turn an allowed command into another one.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

from worker.errors import ToolDeniedError
from worker.guardrails.source import check_source
from worker.guardrails.words import Word, joined, read_word

MAX_MEMBERS = 64
MAX_NESTING = 40

_LANGUAGE = Language(tree_sitter_bash.language())
_DESCRIPTORS = {"0": 0, "1": 1, "2": 2}
_OTHER_DESCRIPTOR = -1
"""A higher one, `{name}`, or what the grammar takes for one."""
_DUPLICATION = re.compile(r"[12]")
_GLOB = re.compile(r"[*?\[]")
_CONTINUED_WORD = re.compile(r"[^\s\\]\\\n\S")
_ESCAPED_BLANK = re.compile(r"(?<![^\s;|&()])\\[ \t]")
"""A word that begins with a blank to a shell, nothing to the grammar."""
_GAP = re.compile(rb"(?:[ \t]|\\\n)*")
_HARMLESS_ASSIGNMENT = re.compile(
    r"(?:LANG|LC_[A-Z]+)=(?:C|POSIX|[a-z]{2}_[A-Z]{2})(?:\.UTF-?8)?|TZ=[A-Za-z]+(?:/[A-Za-z_]+){0,2}"
)
"""The language and the time zone a command speaks in."""
_LIMIT = re.compile(r"-.*|\d+(?:\.\d+)?[smhd]?")
"""What stands between `timeout` and the command that it runs."""


@dataclass(frozen=True)
class Redirect:
    """One redirection; `descriptor` is None for both streams (`&>`), `target` None for closing (`>&-`)."""

    descriptor: int | None
    operator: str
    target: Word | None

    @property
    def is_harmless(self) -> bool:
        """True for `/dev/null` and for joining stdout and stderr: nothing is written anywhere, nothing read."""
        if self.target is None or not self.target.is_static or self.descriptor not in {None, 0, 1, 2}:
            return False
        if self.descriptor == 0:
            return self.operator == "<" and self.target.text == "/dev/null"
        if self.operator == ">&" and _DUPLICATION.fullmatch(self.target.text):
            return True
        return self.operator in {">", ">>", "&>", "&>>", ">&"} and self.target.text == "/dev/null"

    @property
    def is_input(self) -> bool:
        """True for `< file`."""
        is_known = self.target is not None and self.target.is_static
        return self.descriptor == 0 and self.operator == "<" and is_known and not self.is_harmless


@dataclass(frozen=True)
class Simple:
    """One simple command; `assignments` are those before it, of which the harmless are no unknowns."""

    words: tuple[Word, ...]
    assignments: tuple[str, ...] = ()
    redirects: tuple[Redirect, ...] = ()

    @cached_property
    def texts(self) -> tuple[str, ...]:
        return tuple(word.text for word in self.words)

    @cached_property
    def normalised(self) -> str:
        return joined(self.words)

    @cached_property
    def limited(self) -> tuple["Simple", "Simple"] | None:
        """`timeout 5` and the command after it, where that is what this is."""
        if self.leading[:1] not in {("timeout",), ("/usr/bin/timeout",)}:
            return None
        length = 1
        while length < len(self.leading) and _LIMIT.fullmatch(self.leading[length]):
            length += 1
        rest = self.words[length:]
        return (replace(self, words=self.words[:length]), Simple(rest)) if rest else None

    @property
    def leading(self) -> tuple[str, ...]:
        """The words up to the first that is not known."""
        known = []
        for word in self.words:
            if not word.is_static:
                break
            known.append(word.text)
        return tuple(known)


@dataclass(frozen=True)
class Pipeline:
    """Simple commands joined by bars; `joined_by` is how the pipeline follows the one before it."""

    members: tuple[Simple, ...]
    joined_by: str = ";"


@dataclass(frozen=True)
class Script:
    """A command as it was read.

    `text` is the source without comments: what a judge sees and a shell would run. `unknowns` names everything
    that is not known before it runs; `commands` holds every simple command at any depth.
    """

    text: str
    pipelines: tuple[Pipeline, ...]
    commands: tuple[Simple, ...]
    unknowns: tuple[str, ...]

    @property
    def is_static(self) -> bool:
        return not self.unknowns and bool(self.pipelines)

    @cached_property
    def normalised(self) -> str:
        """One spelling for all that mean the same, where that is known; else the text."""
        if not self.is_static:
            return self.text
        parts: list[str] = []
        for pipeline in self.pipelines:
            line = " | ".join(_spelled(member) for member in pipeline.members)
            parts.append(f"{pipeline.joined_by} {line}" if parts else line)
        return " ".join(parts)


def parse(command: str) -> Script:
    """Read a command. Raises `ToolDeniedError` for one that is too long, not printable, or no shell syntax."""
    check_source(command)
    source = command.encode()
    root = _parser().parse(source).root_node
    if root.has_error:
        raise ToolDeniedError("the command is not valid shell syntax")
    reader = _Reader(source)
    reader.read_statements(root, joined_by=";", depth=0)
    reader.feed()
    if not reader.commands and not reader.unknowns:
        raise ToolDeniedError("the command is empty")
    if _CONTINUED_WORD.search(command) or _ESCAPED_BLANK.search(command):
        reader.unknowns.append("a word continued over two lines or an escaped blank")
    text = _without_comments(source, reader.comments)
    return Script(text, tuple(reader.pipelines), tuple(reader.commands), tuple(dict.fromkeys(reader.unknowns)))


_local = threading.local()


def _parser() -> Parser:
    """Return this thread's parser: a parser may not be shared between threads."""
    if not hasattr(_local, "parser"):
        _local.parser = Parser(_LANGUAGE)
    parser: Parser = _local.parser
    return parser


def _without_comments(source: bytes, comments: list[Node]) -> str:
    kept, position = [], 0
    for comment in sorted(comments, key=lambda node: node.start_byte):
        kept.append(source[position : comment.start_byte])
        position = comment.end_byte
    text = b"".join([*kept, source[position:]]).decode()
    return "\n".join(line for line in text.split("\n") if line.strip()).strip() if comments else text.strip()


def _spelled(command: Simple) -> str:
    redirects = (f"{r.descriptor or ''}{r.operator}{r.target.text if r.target else ''}" for r in command.redirects)
    return " ".join([command.normalised, *redirects])


_STATEMENTS = {"command", "pipeline", "redirected_statement", "list", "negated_command"}
_SEPARATORS = {";", "\n", "&&", "||"}
_JOIN_STREAMS = (Redirect(2, ">&", Word("1")),)
"""What `|&` means."""


@dataclass
class _Reader:
    """Walks the tree once; whatever it does not name becomes an unknown."""

    source: bytes
    pipelines: list[Pipeline] = field(default_factory=list)
    commands: list[Simple] = field(default_factory=list)
    unknowns: list[str] = field(default_factory=list)
    comments: list[Node] = field(default_factory=list)

    def read_statements(self, node: Node, *, joined_by: str, depth: int) -> None:
        """Read the children of a program or of a list, each with the operator that stands before it."""
        operator = joined_by
        for child in node.children:
            if child.type == "comment":
                self.comments.append(child)
            elif child.type in _SEPARATORS:
                operator = ";" if child.type == "\n" else child.type
            elif child.type in _STATEMENTS:
                self._read_statement(child, joined_by=operator, depth=depth + 1)
                operator = ";"
            else:
                self._give_up(child, depth)

    def feed(self) -> None:
        """Read `wc < file` as `cat file | wc`, which prints the same."""
        self.pipelines = [Pipeline((*self._fed(p.members[0]), *p.members[1:]), p.joined_by) for p in self.pipelines]
        if any(redirect.is_input for command in self.commands for redirect in command.redirects):
            self.unknowns.append("a file as the input of a command that has another")

    def _fed(self, command: Simple) -> tuple[Simple, ...]:
        match [redirect for redirect in command.redirects if redirect.descriptor == 0]:
            case [Redirect(target=Word() as file) as only] if only.is_input:
                kept = tuple(redirect for redirect in command.redirects if redirect is not only)
                fed = (Simple((Word("cat"), Word("--"), file)), replace(command, redirects=kept))
                place = self.commands.index(command)
                self.commands[place : place + 1] = fed
                return fed
        return (command,)

    def _read_statement(self, node: Node, *, joined_by: str, depth: int) -> None:
        if depth > MAX_NESTING:
            raise ToolDeniedError("the command is nested too deeply")
        if node.type == "list":
            self.read_statements(node, joined_by=joined_by, depth=depth)
            return
        if node.type == "redirected_statement" and node.children[0].type == "list":
            self._redirected_list(node, joined_by=joined_by, depth=depth)
            return
        members = tuple(self._members(node, depth))
        if len(self.commands) > MAX_MEMBERS:
            raise ToolDeniedError(f"the command has more than {MAX_MEMBERS} parts")
        if members:
            self.pipelines.append(Pipeline(members, joined_by))

    def _members(self, node: Node, depth: int) -> Iterator[Simple]:
        if node.type == "command":
            yield self._simple(node, (), depth)
        elif node.type == "pipeline":
            yield from self._pipeline(node, depth)
        elif node.type == "redirected_statement" and node.children[0].type in {"command", "pipeline", "list"}:
            yield from self._redirected(node, depth)
        else:
            self._give_up(node, depth)

    def _pipeline(self, node: Node, depth: int) -> Iterator[Simple]:
        for child in node.children:
            if child.type == "comment":
                self.comments.append(child)
            elif child.type in {"command", "redirected_statement"}:
                both = child.next_sibling is not None and child.next_sibling.type == "|&"
                yield from self._with_redirects(list(self._members(child, depth + 1)), _JOIN_STREAMS if both else ())
            elif child.type not in {"|", "|&"}:
                self._give_up(child, depth)

    def _redirected(self, node: Node, depth: int) -> Iterator[Simple]:
        """A redirection after a pipeline belongs to its last command."""
        redirects = self._redirects(node, depth)
        yield from self._with_redirects(list(self._members(node.children[0], depth + 1)), redirects)

    def _redirected_list(self, node: Node, *, joined_by: str, depth: int) -> None:
        """A redirection after `a && b` belongs to `b`, though the grammar hangs it on both."""
        redirects = self._redirects(node, depth)
        before = len(self.pipelines)
        self.read_statements(node.children[0], joined_by=joined_by, depth=depth + 1)
        if len(self.pipelines) == before:
            return  # nothing in it was read, and the unknowns say so
        last = self.pipelines.pop()
        members = tuple(self._with_redirects(list(last.members), redirects))
        self.pipelines.append(Pipeline(members, last.joined_by))

    def _redirects(self, node: Node, depth: int) -> tuple[Redirect, ...]:
        return tuple(r for child in node.children[1:] if (r := self._redirect(child, depth)) is not None)

    def _with_redirects(self, members: list[Simple], redirects: tuple[Redirect, ...]) -> Iterator[Simple]:
        """Add redirections to the last member, here and in the list of all commands."""
        if members and redirects:
            last = members.pop()
            members.append(Simple(last.words, last.assignments, last.redirects + redirects))
            self.commands[self.commands.index(last)] = members[-1]
        yield from members

    def _simple(self, node: Node, redirects: tuple[Redirect, ...], depth: int) -> Simple:
        words: list[Word] = []
        assignments: list[str] = []
        position = node.start_byte
        for child in node.children:
            if not _GAP.fullmatch(self.source, position, child.start_byte):
                self.unknowns.append("something between two words that is no blank")
            position = child.end_byte
            if child.type == "variable_assignment":
                assignments.append(self._text(child))
                if not _HARMLESS_ASSIGNMENT.fullmatch(assignments[-1]):
                    self._give_up(child, depth)
            elif child.type in {"file_redirect", "herestring_redirect", "heredoc_redirect"}:
                redirect = self._redirect(child, depth)
                redirects = (*redirects, redirect) if redirect else redirects
            else:
                words.append(self._word(child, depth))
        if not words:
            self.unknowns.append("a command without a program")
        command = Simple(tuple(words), tuple(assignments), redirects)
        self.commands += [command, *(command.limited or ())[1:]]
        return command

    def _word(self, node: Node, depth: int) -> Word:
        target = node.children[0] if node.type == "command_name" and node.children else node
        word = read_word(target, self.source)
        if not word.is_static and not word.is_pattern:
            self.unknowns.append(f"a word that is not known before it runs: {self._text(node)[:60]}")
            self._find_commands(node, depth)
        elif node.type == "command_name" and (not word.text or _GLOB.search(word.text)):
            self.unknowns.append("the program's name is a pattern")
        return word

    def _redirect(self, node: Node, depth: int) -> Redirect | None:
        if node.type != "file_redirect":
            self._give_up(node, depth)
            return None
        parts = [child for child in node.children if child.type != "file_descriptor"]
        named = next((self._text(c) for c in node.children if c.type == "file_descriptor"), None)
        descriptor = None if named is None else _DESCRIPTORS.get(named, _OTHER_DESCRIPTOR)
        operator = parts[0].type
        if descriptor is None and operator in {">", ">>", "<"}:
            descriptor = 0 if operator == "<" else 1
        if operator == ">&" and descriptor is None and len(parts) > 1 and self._text(parts[1]) in {"1", "2"}:
            descriptor = 1
        target = read_word(parts[1], self.source) if len(parts) > 1 else None
        redirect = Redirect(descriptor, operator, target)
        has_number = self.source[node.start_byte - 1 : node.start_byte].isdigit()  # `0<x`: a word to the grammar
        if has_number or not (redirect.is_harmless or redirect.is_input) or len(parts) != len((operator, target)):
            self.unknowns.append(f"a redirection: {self._text(node)[:60]}")
            self._find_commands(node, depth)
        return redirect

    def _give_up(self, node: Node, depth: int) -> None:
        """Note a construct that is not read, and look for the commands inside it."""
        name = "a command in the background" if node.type == "&" else node.type.replace("_", " ")
        self.unknowns.append(f"not read: {name}")
        self._find_commands(node, depth)

    def _find_commands(self, node: Node, depth: int) -> None:
        if depth > MAX_NESTING:
            raise ToolDeniedError("the command is nested too deeply")
        for child in node.children:
            if child.type == "comment":
                self.comments.append(child)
            elif child.type == "command":
                self._simple(child, (), depth + 1)
            else:
                self._find_commands(child, depth + 1)

    def _text(self, node: Node) -> str:
        return self.source[node.start_byte : node.end_byte].decode()
