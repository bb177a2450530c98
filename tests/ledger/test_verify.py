"""A sound ledger is found sound by two verifiers, also after a clock or a key went wrong."""

from __future__ import annotations

import pytest
from made import OPEN_RUN, Ledger, access, disclosure, event, said_again
from reengage.errors import KeyringError
from reengage.ledger import append as appending
from reengage.ledger.append import read_head
from reengage.ledger.checkpoint import open_note
from reengage.ledger.signers import rotate_signer
from reengage.ledger.verify import verify


def test_a_sound_ledger_is_found_sound_by_both(days: Ledger) -> None:
    verdict = days.verify()
    assert [str(finding) for finding in verdict.findings] == []
    assert verdict.sound
    assert (verdict.size, verdict.checkpoints, verdict.clock_back) == (319, 2, 0)
    assert list(verdict.open_runs) == [OPEN_RUN]
    with days.engine.connect() as connection:
        assert verdict.root == read_head(connection, days.keyring).frontier.root
        assert said_again(connection, days.checkpoints, days.keys) == []


def test_an_empty_ledger_is_sound(ledger: Ledger) -> None:
    verdict = ledger.verify()
    assert verdict.sound
    assert (verdict.size, verdict.checkpoints) == (0, 0)


def test_progress_is_told_to_the_end(days: Ledger) -> None:
    told: list[tuple[int, int]] = []
    with days.engine.connect() as connection:
        verify(
            connection,
            keys=days.keys,
            checkpoints=days.checkpoints,
            progress=lambda done, of: told.append((done, of)),
        )
    assert told == [(256, 319), (319, 319)]


def test_a_clock_that_runs_backwards_is_recorded_and_the_order_kept(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = appending._locked

    def tomorrow(*args):
        head, now = locked(*args)
        return head, now.replace(year=now.year + 1)

    with monkeypatch.context() as patch:
        patch.setattr(appending, "_locked", tomorrow)
        ledger.append(access("a"), access("b"))
    ledger.append(disclosure(1), disclosure(2))
    ledger.append(disclosure(3))
    marked = [index for index, _, _, _, entry in ledger.rows() if b'"clock":"back"' in entry]
    assert marked == [2]
    verdict = ledger.verify()
    assert verdict.sound
    assert verdict.clock_back == 1
    with ledger.engine.connect() as connection:
        assert said_again(connection, ledger.checkpoints, ledger.keys) == []


def test_what_a_lost_key_signed_still_verifies_and_a_new_one_is_a_persons_decision(
    ledger: Ledger,
) -> None:
    ledger.append(access("a"))
    ledger.sign()
    (ledger.keyring.directory / "ledger" / "0001.pem").unlink()
    ledger.append(access("b"))
    with pytest.raises(
        KeyringError, match=r"signing key of the ledger is missing.*keys rotate ledger"
    ):
        ledger.sign()
    assert ledger.verify().sound
    rotate_signer(ledger.keyring, open_note(ledger.checkpoints.all()[0][1], ledger.keys).origin)
    assert ledger.sign().size == 3
    assert ledger.verify().checkpoints == 2
    old, new = ledger.keys
    for keys, unknown in (([old], 3), ([new], 1)):
        with ledger.engine.connect() as connection:
            found = verify(connection, keys=keys, checkpoints=ledger.checkpoints).findings
        assert f"checkpoint {unknown} is not what was signed: no key that is trusted here" in str(
            found[0]
        )


def test_findings_beyond_the_first_hundred_are_counted(ledger: Ledger) -> None:
    ledger.append(*(event("r", "OTHER") for _ in range(120)))
    verdict = ledger.verify()
    assert (len(verdict.findings), verdict.faults) == (100, 120)
    assert str(verdict.findings[0]).startswith("entry 0 is an event of a run without a START")
