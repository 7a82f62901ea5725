"""An answer that holds nothing is told from one that holds something, whatever tool gave it."""

import pytest

from worker.investigation.emptiness import is_empty


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "null",
        "[]",
        "{}",
        '""',
        '{"query":{"entity":"a"},"rows":[],"row_count":0,"note":"nothing matches"}',
        '{"namespace":"shop","events":[]}',
        '{"command":"kubectl get pods","exit_code":0,"stdout":" \\n","stderr":"No resources found"}',
    ],
)
def test_an_answer_without_content_is_empty(text: str) -> None:
    assert is_empty(text)


@pytest.mark.parametrize(
    "text",
    [
        "all is well",
        "0",
        "false",
        '"up"',
        "[0]",
        '{"status":"healthy"}',
        '{"rows":[{"score":0}],"row_count":1}',
        '{"warnings":[],"pods":["a"]}',
        '{"command":"uptime","exit_code":0,"stdout":"up 3 days","stderr":""}',
        '{"rows":[{"a":1}, [… 9 of 20 characters left out …]',
    ],
)
def test_an_answer_with_content_is_not(text: str) -> None:
    assert not is_empty(text)
