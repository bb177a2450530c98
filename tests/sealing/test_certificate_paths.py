"""Paths from a certificate to its anchor, and what its authorities took back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from reengage.sealing.trust import Trust, load_trust
from sealing.authority import (
    MAIL,
    NOW,
    Authority,
    for_key,
    key,
    name,
    pem,
    root,
    trusting,
    usage,
)
from sealing.verdicts import ROOT, UNKNOWN, mail_in_subject, verdict


def who_may_not_certify() -> Authority:
    private = key("p-256", "no certificates")
    extensions = (
        (x509.BasicConstraints(True, None), True),
        (usage(crl_sign=True), True),
    )
    certificate = ROOT.certify(private, extensions, subject=name("no certificates"))
    return Authority(certificate, private)


def behind(tmp_path: Path, authority: Authority, **files: bytes | str) -> Trust:
    given: dict[str, bytes | str] = {
        "intermediates__below_pem": pem(authority.certificate),
        "crl__below_crl": authority.crl(),
    }
    return trusting(tmp_path, ROOT, **{**given, **files})


def purposes(*oids: x509.ObjectIdentifier) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    return ((x509.ExtendedKeyUsage(list(oids)), False),)


def constraint(
    permitted: list[x509.GeneralName] | None = None,
    excluded: list[x509.GeneralName] | None = None,
    *,
    critical: bool = True,
) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    return ((x509.NameConstraints(permitted, excluded), critical),)


HERE, ELSEWHERE = [x509.RFC822Name("example.org")], [x509.RFC822Name("example.com")]
PATHS: dict[str, tuple[str, Callable[[], Authority]]] = {
    "below": ("sound", ROOT.below),
    "for mail": (
        "sound", lambda: ROOT.below("mail", purposes(ExtendedKeyUsageOID.EMAIL_PROTECTION))
    ),
    "for servers": (
        "certificate_untrusted",
        lambda: ROOT.below("servers", purposes(ExtendedKeyUsageOID.SERVER_AUTH)),
    ),
    "who may not certify": ("certificate_untrusted", who_may_not_certify),
    "expired": ("certificate_untrusted", lambda: ROOT.below("old", ends=NOW - timedelta(1))),
    "for this domain": ("sound", lambda: ROOT.below("here", constraint(permitted=list(HERE)))),
    "for another domain": (
        "certificate_untrusted", lambda: ROOT.below("there", constraint(permitted=list(ELSEWHERE)))
    ),
    "for all but this domain": (
        "certificate_untrusted", lambda: ROOT.below("not", constraint(excluded=list(HERE)))
    ),
    "a constraint that is not critical": (
        "certificate_untrusted",
        lambda: ROOT.below("soft", constraint(permitted=list(HERE), critical=False)),
    ),
    "a constraint on subjects": (
        "certificate_untrusted",
        lambda: ROOT.below("subjects", constraint(excluded=[x509.DirectoryName(name("x"))])),
    ),
    "an unknown critical extension": (
        "certificate_untrusted", lambda: ROOT.below("odd", ((UNKNOWN, True),))
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PATHS)
def test_the_path_to_the_anchor_is_validated(case: str, tmp_path: Path) -> None:
    code, make = PATHS[case]
    authority = make()
    assert verdict(authority.certify(), behind(tmp_path, authority)) == code


def test_a_path_longer_than_its_anchor_allows_is_refused(tmp_path: Path) -> None:
    short = root("short", path_length=0)
    authority = short.below("too deep")
    trust = trusting(
        tmp_path,
        short,
        intermediates__below_pem=pem(authority.certificate),
        crl__below_crl=authority.crl(),
    )
    assert verdict(authority.certify(), trust) == "certificate_untrusted"


@pytest.mark.parametrize("permitted", [HERE, ELSEWHERE])
@pytest.mark.parametrize(
    "other",
    [
        [],
        [x509.DNSName("www.example.org")],
        [x509.UniformResourceIdentifier("https://www.example.org/")],
        [x509.DirectoryName(name("a patient"))],
    ],
    ids=["no name", "a host", "a URI", "a directory name"],
)
def test_a_mailbox_in_the_subject_escapes_no_name_constraint(
    permitted: list[x509.GeneralName], other: list[x509.GeneralName], tmp_path: Path
) -> None:
    authority = ROOT.below("here", constraint(permitted=list(permitted)))
    names = ((x509.SubjectAlternativeName(other), False),) if other else ()
    certificate = authority.certify(
        extensions=(*for_key(key()), *MAIL, *names), subject=mail_in_subject()
    )
    assert verdict(certificate, behind(tmp_path, authority)) == "certificate_untrusted"


def test_a_listed_certificate_is_revoked(tmp_path: Path) -> None:
    certificate = ROOT.certify()
    trust = trusting(tmp_path, ROOT, certificate.serial_number)
    assert verdict(certificate, trust) == "certificate_revoked"


def test_an_authority_that_was_revoked_takes_its_certificates_with_it(tmp_path: Path) -> None:
    authority = ROOT.below()
    taken_back = ROOT.crl(authority.certificate.serial_number)
    trust = behind(tmp_path, authority, crl__root_crl=taken_back)
    assert verdict(authority.certify(), trust) == "certificate_revoked"


@pytest.mark.parametrize("missing", ["crl__root_crl", "crl__below_crl"])
def test_without_a_list_of_each_authority_revocation_is_unknown(
    missing: str, tmp_path: Path
) -> None:
    authority = ROOT.below()
    behind(tmp_path, authority)
    (tmp_path / "crl" / f"{missing.split('_')[2]}.crl").unlink()
    assert verdict(authority.certify(), load_trust(tmp_path)) == "certificate_revocation_unknown"


OLD = {"issued": NOW - timedelta(days=9), "until": NOW - timedelta(days=2)}
FUTURE = {"issued": NOW + timedelta(days=1), "until": NOW + timedelta(days=2)}


@pytest.mark.parametrize("dates", [OLD, FUTURE])
def test_a_list_out_of_date_vouches_for_nobody(dates: dict[str, Any], tmp_path: Path) -> None:
    trust = trusting(tmp_path, ROOT, crl__root_crl=ROOT.crl(**dates))
    assert verdict(ROOT.certify(), trust) == "certificate_revocation_unknown"


def test_what_an_old_list_revoked_stays_revoked(tmp_path: Path) -> None:
    certificate = ROOT.certify()
    stale = ROOT.crl(certificate.serial_number, **OLD)
    trust = trusting(tmp_path, ROOT, crl__a_crl=stale)
    assert verdict(certificate, trust) == "certificate_revoked"


def no_list(tmp_path: Path, answer: bytes) -> Trust:
    return trusting(tmp_path, ROOT, crl__root_crl=ROOT.crl(**OLD), ocsp__a_der=answer)


def test_an_answer_vouches_for_its_certificate_only(tmp_path: Path) -> None:
    certificate = ROOT.certify()
    trust = no_list(tmp_path, ROOT.answer(certificate))
    assert verdict(certificate, trust) == "sound"
    assert verdict(ROOT.certify(), trust) == "certificate_revocation_unknown"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (ocsp.OCSPCertStatus.REVOKED, "certificate_revoked"),
        (ocsp.OCSPCertStatus.UNKNOWN, "certificate_revocation_unknown"),
    ],
)
def test_an_answer_that_is_not_good_refuses(
    status: ocsp.OCSPCertStatus, code: str, tmp_path: Path
) -> None:
    certificate = ROOT.certify()
    assert verdict(certificate, no_list(tmp_path, ROOT.answer(certificate, status=status))) == code


def test_an_answer_out_of_date_says_nothing(tmp_path: Path) -> None:
    certificate = ROOT.certify()
    trust = no_list(tmp_path, ROOT.answer(certificate, **OLD))
    assert verdict(certificate, trust) == "certificate_revocation_unknown"


def responder(no_check: bool = True, purpose: Any = ExtendedKeyUsageOID.OCSP_SIGNING) -> Authority:
    private = key("p-256", "responder")
    extensions = [(x509.ExtendedKeyUsage([purpose]), False)]
    if no_check:
        extensions.append((x509.OCSPNoCheck(), False))
    certificate = ROOT.certify(private, extensions, subject=name("responder"))
    return Authority(certificate, private)


def test_a_responder_that_the_authority_certified_may_answer(tmp_path: Path) -> None:
    certificate = ROOT.certify()
    trust = no_list(tmp_path, ROOT.answer(certificate, responder=responder()))
    assert verdict(certificate, trust) == "sound"
