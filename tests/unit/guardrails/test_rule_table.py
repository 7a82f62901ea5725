"""The table of programs: checked when it is loaded, and read the way programs read their options."""

from pathlib import Path

import pytest

from worker.errors import ConfigError
from worker.guardrails.rules import UnprovenError, class_of_script
from worker.guardrails.shell import parse
from worker.guardrails.table import CommandClass, Table, builtin_table, load_table, table_with

EXAMPLE = """
programs:
  tool:
    flags: -a -b --all
    takes: {number: -n --number, content: -f}
    optional: --color
    operands: [search, content*]
    instead_of_first: -e
    commands: {}
  goish:
    style: go
    takes: {word: -o --output}
  needy: {flags: -f, needs: -f}
  deep:
    takes: {word: -g}
    commands:
      "get list": {flags: -x}
      drop: {class: write}
"""


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return load(tmp_path, EXAMPLE)


def load(folder: Path, text: str) -> Table:
    file = folder / "rules.yaml"
    file.write_text(text)
    return load_table([file])


def is_read(command: str, table: Table) -> bool:
    try:
        return class_of_script(parse(command), table) is CommandClass.READ
    except UnprovenError:
        return False


@pytest.mark.parametrize(
    "command",
    [
        "tool",
        "tool x",
        "tool -ab x",
        "tool -n5 x",
        "tool -abn 5 x",
        "tool --number=5 x",
        "tool --number 5 x",
        "tool --color=always x",
        "tool x /var/log/a.log b",
        "tool -- x",
        "/usr/bin/tool x",
        "goish -o=yaml",
        "goish -oyaml",
        "needy -f",
        "deep get -x",
        "deep -g a list",
        "deep list -g a",
    ],
)
def test_what_the_table_names_is_read(command: str, table: Table) -> None:
    assert is_read(command, table)


@pytest.mark.parametrize(
    "command",
    [
        "other",
        "tool -c",
        "tool --al",
        "tool --all=x",
        "tool -n x y",
        "tool -n",
        "tool x /etc/shadow",
        "tool -- x /etc/shadow",
        "tool -f /etc/shadow",
        "tool -f/etc/shadow",
        "tool -af/etc/shadow",
        "/tmp/tool x",
        "tool/x",
        "needy",
        "deep",
        "deep -x get",
        "deep drop",
        "deep other",
        "deep get -y",
        "tool x > y",
        "A=1 tool x",
    ],
)
def test_what_the_table_does_not_name_is_not_read(command: str, table: Table) -> None:
    assert not is_read(command, table)


@pytest.mark.parametrize(
    "text",
    [
        "programs: {x: {flagz: -a}}",
        "programs: {x: {takes: {nonsense: -a}}}",
        "programs: {x: {operands: [nonsense]}}",
        "programs: {x: {class: harmless}}",
        "programs: [",
        "nothing: {}",
        "programs: {a b: {}, b c: {}}",
    ],
)
def test_a_file_that_does_not_fit_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, text) and load_table([tmp_path / "rules.yaml", tmp_path / "rules.yaml"])


def test_the_table_of_the_product_loads_and_classes_are_used() -> None:
    programs = builtin_table().by_name

    assert {"kubectl", "git", "docker", "aws", "gcloud", "helm", "journalctl", "grep"} <= set(programs)
    assert not {"env", "sudo", "xargs", "sh", "bash", "nohup"} & {
        n for n, r in programs.items() if r.command_class == "read"
    }


def test_short_and_long_options_of_the_product_are_spelled_as_options() -> None:
    def options(rule):  # noqa: ANN001, ANN202 -- a walk over the table
        yield from (*rule.flag_set, *rule.optional_set, *rule.pair_set, *rule.value_kinds)
        for child in rule.commands.values():
            yield from options(child)

    odd = {o for rule in builtin_table().by_name.values() for o in options(rule) if not o.startswith(("-", "+"))}
    assert odd == set()


MORE = """
hosts: [status.example]
programs:
  sender: {flags: -f, no_input: true}
  asker: {needs_operand: true, operands: [word*]}
  poster:
    flags: -G -x
    takes: {word: --data}
    requires: {--data: -G}
  speaker: {style: literal, operands: [text*]}
  outer:
    takes: {word: --format}
    commands:
      inner: {takes: {number: --format}}
      other: {}
  fetcher: {operands: [fetched_url]}
"""


@pytest.mark.parametrize(
    "command",
    [
        "sender -f </dev/null",
        "echo | sender",
        "asker x",
        "poster -G --data x",
        "poster -x",
        "speaker --- disk -n",
        "outer inner --format 5",
        "outer other --format x",
        "fetcher http://status.example/",
    ],
)
def test_what_must_be_said_besides_is_said(command: str, tmp_path: Path) -> None:
    table = load_table([_file(tmp_path, MORE)], over=builtin_table())

    assert is_read(command, table)


@pytest.mark.parametrize(
    "command",
    [
        "sender -f",
        "echo x | sender",
        "cat /var/log/a.log | sender",
        "echo | cat | sender",
        "ls | asker",
        "poster --data x",
        "outer inner --format x",
        "fetcher http://other.example/",
    ],
)
def test_what_must_be_said_besides_is_missed(command: str, tmp_path: Path) -> None:
    table = load_table([_file(tmp_path, MORE)], over=builtin_table())

    assert not is_read(command, table)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("programs:\n  x:\n    flags: -a\n    flagz: -b\n", r"line 4: programs\.x\.flagz: "),
        ("programs:\n  x: {takes: {nonsense: -a}}\n", r"line 2: programs\.x: .*nonsense"),
        ("programs:\n  x: {}\n  x: {}\n", r"line 3: x: stands twice"),
        ("programs:\n  x: {\n", r"line \d: "),
        ("programs:\n  ls: {flags: --all-of-it}\n", r"programs\.ls: ls is already in .*system\.yaml"),
        ("hosts: ['http://x/']\n", r"line 1: hosts\.0: "),
    ],
)
def test_an_operators_file_that_does_not_fit_is_named_with_line_and_field(
    text: str, complaint: str, tmp_path: Path
) -> None:
    file = _file(tmp_path, text)

    with pytest.raises(ConfigError, match=complaint) as raised:
        table_with(file.parent)

    assert str(file) in str(raised.value)


def test_an_operators_programs_join_those_of_the_product(tmp_path: Path) -> None:
    table = table_with(_file(tmp_path, MORE).parent)

    assert is_read("asker x | grep y", table)
    assert table.origins["asker"].endswith("more.yaml")
    assert table_with(None) is builtin_table()


def test_a_folder_without_rule_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no rule file"):
        table_with(tmp_path)


def _file(folder: Path, text: str) -> Path:
    file = folder / "more.yaml"
    file.write_text(text)
    return file


def test_the_table_says_which_programs_need_the_network(tmp_path: Path) -> None:
    table = load_table([_file(tmp_path, "programs: {asker: {network: true}, reader: {}}")], over=builtin_table())

    assert {"kubectl", "dig", "psql", "ss", "asker"} <= table.networked
    assert not {"grep", "cat", "git", "ps", "reader"} & table.networked
