"""Proves one statement for a database's own client to be one read of what the database says of itself.

Not a parser of SQL but of a small part of it: whatever is not in it is not proven. Nothing can hide in what another
server reads differently: comments, backslashes, dollars, double quotes and a second statement are refused as text.
"""

import re
from collections.abc import Iterator

MAX_CHARS = 1500
_REFUSED = re.compile(r"--|/\*|[#$\\@`\"{}\x00\n]|;\s*\S")
_TOKEN = re.compile(
    r"\s+|'[^']*'|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\.\*)*|\d+(?:\.\d+)?|::|[<>!]=|<>|\|\||[(),=<>+*/%\[\]-]", re.ASCII
)

_FUNCTIONS = frozenset(
    """
    count sum avg min max round floor ceil ceiling abs coalesce nullif greatest least now clock_timestamp age date_trunc
    date_part extract to_char lower upper length left right substr substring trim concat concat_ws replace cast
    string_agg array_agg pg_size_pretty pg_database_size pg_total_relation_size pg_relation_size pg_table_size
    pg_indexes_size pg_blocking_pids pg_backend_pid pg_is_in_recovery pg_last_wal_receive_lsn pg_last_wal_replay_lsn
    pg_current_wal_lsn pg_wal_lsn_diff pg_last_xact_replay_timestamp pg_postmaster_start_time version current_database
    current_schema row_number rank lag lead if ifnull timestampdiff unix_timestamp from_unixtime sec_to_time database
    format_bytes
    """.split()  # noqa: SIM905 -- fifty words read better than fifty strings
)
_BEFORE_PAREN = frozenset(
    """
    in any all exists and or not from join on where over filter by as when then else case using select distinct
    """.split()  # noqa: SIM905 -- words
)
_FORBIDDEN = frozenset(
    """
    into for with insert update delete merge create drop alter copy lock call do set execute prepare grant revoke
    truncate vacuum straight_join only
    analyze analyse load handler outfile dumpfile procedure lateral rows tablesample table values window union
    """.split()  # noqa: SIM905 -- words
)
_TYPES = frozenset(
    """
    text varchar name int integer bigint numeric float real boolean bool oid regclass interval date time timestamp
    timestamptz inet pg_lsn
    """.split()  # noqa: SIM905 -- words
)
"""What a value may be cast to: a type of somebody's own may run a function of theirs."""
_COMPOUND = frozenset({"with", "union", "rows", "window", "only"})
"""What a read of one's own tables may have besides."""
_CLAUSES = frozenset({"select", "from", "join", "where", "on", "group", "order", "having", "limit", "offset", "using"})
_BEFORE_RELATION = frozenset({"from", "join", ",", "("})
_ODD_FROM = frozenset({"extract", "substring", "trim"})
"""Functions that have a `from` of their own."""

_CATALOGUES = {
    "psql": re.compile(
        r"(pg_catalog\.)?(pg_stat(io)?_\w+|pg_(locks|database|class|namespace|tables|indexes|index|extension|roles|constraint"
        r"|attribute|type|tablespace|replication_slots|prepared_xacts|publication|available_extensions))"
        r"|information_schema\.(tables|columns|schemata|table_constraints|key_column_usage)"
    ),
    "mysql": re.compile(
        r"information_schema\.(processlist|tables|columns|schemata|statistics|partitions|engines|innodb_\w+)"
        r"|performance_schema\.(?!\w*(variables|attrs|keyring|configuration|users|accounts))\w+"
        r"|sys\.(innodb_lock_waits|processlist|session|schema_\w+|host_summary\w*|io_\w+|memory_\w+|statement\w*|waits_\w+)"
    ),
}
_PSQL_OWN = re.compile(r"\\(l|dt|di|dn|du|dx|d|db|ds|dv|dm|conninfo)\+?( +[\w.*]+)?", re.ASCII)
_PSQL_SHOW = re.compile(r"show (?!all\b)(?!\w*(conninfo|command|pass|key|secret|token|auth|librar))[a-z_]+")
"""Without a dot: settings with one are an operator's own."""
_MYSQL_SHOW = re.compile(
    r"show (full )?(processlist|tables|columns)( (from|in) [\w.]+)*( like '[\w%]*')?"
    r"|show ((global|session) )?(status|variables)( like '[\w%]*'| where variable_name (in|like|=) ?[\w%',() ]*)?"
    r"|show engine innodb (status|mutex)|show (replica|slave|master|binary log) status|show (replicas|slave hosts)"
    r"|show (databases|engines|plugins|warnings|errors|open tables|binary logs|master logs|table status)"
    r"( (from|in) [\w.]+)?( like '[\w%]*')?|show (index|indexes) from [\w.]+( from \w+)?"
)


def is_read_only_psql(statement: str) -> bool:
    r"""One catalogue command of psql (`\l`), one `SHOW` of a setting that holds no secret, or one such `SELECT`."""
    if _PSQL_OWN.fullmatch(statement.strip()):
        return True
    text = _one_statement(statement)
    return text is not None and (
        _is_explained(text.lower()) or bool(_PSQL_SHOW.fullmatch(text.lower())) or _is_select(text.lower(), "psql")
    )


def is_read_only_mysql(statement: str) -> bool:
    r"""One `SHOW` of state or one such `SELECT`; the client's own `\G` at the end is its way to print."""
    text = _one_statement(re.sub(r"\s*\\[Gg]\s*$", "", statement))
    return text is not None and (
        _is_explained(text.lower()) or bool(_MYSQL_SHOW.fullmatch(text.lower())) or _is_select(text.lower(), "mysql")
    )


_SECRET = re.compile(
    r"(pg_catalog\.)?pg_(shadow|authid|user_mappings?|largeobject\w*|hba_\w+|ident_\w+|file_settings|subscription|settings"
    r"|foreign_server|proc|statistic\w*|stats\w*)|information_schema\.(user_mapping|foreign)_\w+"
)
"""Relations of PostgreSQL that hold passwords, connections, files or samples of data."""


def fault_of_read(statement: str) -> str | None:
    """Say why a statement is not one read of tables without a function that does more; None where it is.

    The transaction that runs it cannot write; this keeps away what such a transaction still lets through.
    """
    text = _one_statement(statement)
    if text is None:
        return "one statement without comments, backslashes, dollars, at signs and double quotes is taken"
    tokens = _tokens(text.lower())
    if not tokens or tokens[0] not in {"select", "with"}:
        return "it does not begin with SELECT or WITH"
    if words := sorted((_FORBIDDEN - _COMPOUND) & set(tokens)):
        return f"{words[0].upper()} is not taken"
    called = [word for word, after in _pairs(tokens) if word[0].isalpha() and after == "(" and not _may_precede(word)]
    if called:
        return f"the function {called[0]} is not known to do nothing but read"
    hidden = [word for word in tokens if _SECRET.fullmatch(word)]
    if not hidden and "" in _relations(tokens):
        return "its brackets do not match"
    return f"{hidden[0]} is not for reading" if hidden else None


def _one_statement(statement: str) -> str | None:
    """Return the statement with single blanks, without its final semicolon; None for what is refused as text."""
    text = statement.strip()
    if len(text) > MAX_CHARS or _REFUSED.search(text):
        return None
    return re.sub(r" +", " ", text.rstrip("; "))


def _is_select(text: str, client: str) -> bool:
    tokens = _tokens(text)
    if not tokens or tokens[0] != "select" or _FORBIDDEN & set(tokens):
        return False
    if not _calls_known(tokens):
        return False
    relations = list(_relations(tokens))
    return all(relation and _CATALOGUES[client].fullmatch(relation) for relation in relations)


def _is_explained(text: str) -> bool:
    """Say whether it asks for the plan of a select over any relation: the plan shows no row."""
    tokens = _tokens(text)
    return tokens[:2] == ["explain", "select"] and not _FORBIDDEN & set(tokens) and _calls_known(tokens)


def _calls_known(tokens: list[str]) -> bool:
    """Say whether all functions and casts are known to do nothing but read."""
    return not any(
        (word[0].isalpha() and after == "(" and not _may_precede(word)) or (word == "::" and after not in _TYPES)
        for word, after in _pairs(tokens)
    )


def _tokens(text: str) -> list[str]:
    """Return the tokens without blanks; none if any part of the text is no token."""
    found, position = [], 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            return []
        position = token.end()
        if not token[0].isspace():
            found.append(token[0])
    return found


def _pairs(tokens: list[str]) -> Iterator[tuple[str, str]]:
    return zip(tokens, [*tokens[1:], ""], strict=True)


def _may_precede(word: str) -> bool:
    return word in _FUNCTIONS or word in _BEFORE_PAREN


def _clause_begun(part: str, clause: str) -> str | None:
    """Return the clause that a token begins inside another. After a join's condition a comma goes on with the list."""
    if part == "," and clause in {"on", "using"}:
        return "from"
    if clause == "argument" or part not in _CLAUSES:
        return None
    return "from" if part == "join" else part


def _relations(tokens: list[str]) -> Iterator[str]:
    """Yield whatever stands where a relation is expected; an empty one for brackets that do not match."""
    clauses, before = [""], ""
    for part in tokens:
        if part == "(":
            nested = "from" if clauses[-1] == "from" and before in _BEFORE_RELATION else ""
            clauses.append("argument" if before in _ODD_FROM else nested)
        elif part == ")":
            clauses.pop()
            if not clauses:
                yield ""
                return
        elif clause := _clause_begun(part, clauses[-1]):
            clauses[-1] = clause
        elif clauses[-1] == "from" and before in _BEFORE_RELATION:
            yield part
        before = part
    if len(clauses) != 1:
        yield ""
