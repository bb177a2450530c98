"""The trust directory: read whole or refused, with the file named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from reengage.errors import ConfigurationError
from reengage.sealing.trust import Trust, load_trust
from sealing.authority import MAIL, NOW, Authority, key, name, pem, root, store, trusting, usage

ROOT = root()
CERTIFICATE = ROOT.certify()
POINT = "http://crl.example.org/1.crl"


def standing(trust: Trust, certificate: x509.Certificate = CERTIFICATE) -> str:
    return trust.standing(certificate, ROOT.certificate, at=NOW)


def test_no_directory_is_nobody_trusted() -> None:
    assert load_trust(None) == Trust()


def test_a_directory_is_read_once(tmp_path: Path) -> None:
    below = ROOT.below()
    trust = trusting(
        tmp_path,
        ROOT,
        intermediates__below_pem=pem(below.certificate),
        crl__below_crl=below.crl(),
        ocsp__one_der=ROOT.answer(CERTIFICATE),
    )
    for file in tmp_path.rglob("*.*"):
        file.unlink()
    assert trust.anchors == (ROOT.certificate,)
    assert trust.intermediates == (below.certificate,)
    assert len(trust.statements) == 3
    assert standing(trust) == "good"


def test_a_list_may_be_pem(tmp_path: Path) -> None:
    crl = x509.load_der_x509_crl(ROOT.crl(CERTIFICATE.serial_number))
    trust = trusting(tmp_path, ROOT, crl__b_pem=crl.public_bytes(Encoding.PEM))
    assert standing(trust) == "revoked"


def test_a_bundle_of_anchors_is_read_whole(tmp_path: Path) -> None:
    bundle = pem(ROOT.certificate) + pem(root("other").certificate)
    assert len(load_trust(store(tmp_path, anchors__all_pem=bundle)).anchors) == 2


def of_same_name() -> Authority:
    return Authority(ROOT.certificate, key("p-256", "impostor"))


def impostor() -> Authority:
    """Of the root's name, certified by itself."""
    private = key("p-256", "impostor")
    usual = ((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),)
    nobody = of_same_name()
    return Authority(
        nobody.certify(private, (*usual, (x509.OCSPNoCheck(), False)), subject=name("root")),
        private,
    )


def without_crl_sign() -> Authority:
    private = key("p-256", "no lists")
    extensions = (
        (x509.BasicConstraints(True, None), True),
        (usage(key_cert_sign=True), True),
    )
    return Authority(ROOT.certify(private, extensions, subject=name("no lists")), private)


def distribution(**words: Any) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    given: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return ((x509.IssuingDistributionPoint(**{**given, **words}), True),)


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
BAD_FILES: dict[str, tuple[str, Callable[[], bytes | str]]] = {
    "an anchor that is no PEM": ("anchors/x.pem", lambda: "hello"),
    "an anchor that certifies nobody": ("anchors/x.pem", lambda: pem(CERTIFICATE)),
    "an intermediate cut short": (
        "intermediates/x.pem", lambda: pem(ROOT.below().certificate)[:200]
    ),
    "a list that is none": ("crl/x.crl", lambda: b"hello"),
    "a list by nobody known": ("crl/x.crl", lambda: root("other").crl()),
    "a list by another of the same name": ("crl/x.crl", lambda: of_same_name().crl()),
    "a list with a flipped bit": (
        "crl/x.crl", lambda: ROOT.crl()[:-1] + bytes([ROOT.crl()[-1] ^ 1])
    ),
    "a delta list": (
        "crl/x.crl", lambda: ROOT.crl(extensions=((x509.DeltaCRLIndicator(1), True),))
    ),
    "a delta list that does not insist": (
        "crl/x.crl", lambda: ROOT.crl(extensions=((x509.DeltaCRLIndicator(1), False),))
    ),
    "an indirect list": ("crl/x.crl", lambda: ROOT.crl(extensions=distribution(indirect_crl=True))),
    "a list for some reasons": (
        "crl/x.crl",
        lambda: ROOT.crl(
            extensions=distribution(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise]))
        ),
    ),
    "a list with an unknown critical extension": (
        "crl/x.crl", lambda: ROOT.crl(extensions=((UNKNOWN, True),))
    ),
    "an answer that is none": ("ocsp/x.der", lambda: b"hello"),
    "an answer by nobody known": ("ocsp/x.der", lambda: root("other").answer(CERTIFICATE)),
    "an answer by another of the same name": (
        "ocsp/x.der", lambda: ROOT.answer(CERTIFICATE, responder=impostor())
    ),
    "an answer without an end": ("ocsp/x.der", lambda: ROOT.answer(CERTIFICATE, until=None)),
    "an answer by a certified patient": (
        "ocsp/x.der",
        lambda: ROOT.answer(CERTIFICATE, responder=responder(*MAIL, (x509.OCSPNoCheck(), False))),
    ),
    "an answer by a responder that would have to be asked about": (
        "ocsp/x.der",
        lambda: ROOT.answer(
            CERTIFICATE,
            responder=responder(
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
            ),
        ),
    ),
}  # fmt: skip


def responder(*extensions: tuple[x509.ExtensionType, bool]) -> Authority:
    private = key("p-256", "responder")
    return Authority(ROOT.certify(private, extensions, subject=name("responder")), private)


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_cannot_be_used_is_named(case: str, tmp_path: Path) -> None:
    where, make = BAD_FILES[case]
    folder, file = where.split("/")
    store(tmp_path, anchors__root_pem=pem(ROOT.certificate))
    (tmp_path / folder).mkdir(exist_ok=True)
    content = make()
    path = tmp_path / folder / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=str(path)):
        load_trust(tmp_path)


def test_who_may_not_sign_lists_signs_none(tmp_path: Path) -> None:
    authority = without_crl_sign()
    store(
        tmp_path,
        anchors__root_pem=pem(ROOT.certificate),
        intermediates__x_pem=pem(authority.certificate),
        crl__x_crl=authority.crl(),
    )
    with pytest.raises(ConfigurationError, match=r"x\.crl"):
        load_trust(tmp_path)


@pytest.mark.parametrize("prepare", [lambda path: None, lambda path: path.mkdir()])
def test_a_directory_without_anchors_is_refused(
    prepare: Callable[[Path], None], tmp_path: Path
) -> None:
    prepare(tmp_path / "trust")
    with pytest.raises(ConfigurationError, match="trust"):
        load_trust(tmp_path / "trust")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    store(tmp_path, anchors__root_pem=pem(ROOT.certificate))
    (tmp_path / "anchors" / "y.pem").mkdir()
    with pytest.raises(ConfigurationError, match=r"y\.pem"):
        load_trust(tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"only_contains_user_certs": True}, "good"),
        ({"only_contains_ca_certs": True}, "unknown"),
        ({"full_name": [x509.UniformResourceIdentifier(POINT)]}, "unknown"),
    ],
)
def test_a_list_speaks_only_of_what_it_says_it_is_for(
    words: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    crl = ROOT.crl(extensions=distribution(**words))
    assert standing(trusting(tmp_path, ROOT, crl__root_crl=crl)) == expected


def test_a_list_for_a_certificates_own_distribution_point_counts(tmp_path: Path) -> None:
    url = [x509.UniformResourceIdentifier(POINT)]
    points = x509.CRLDistributionPoints([x509.DistributionPoint(url, None, None, None)])
    certificate = ROOT.certify(extensions=((points, False),))
    crl = ROOT.crl(extensions=distribution(full_name=url))
    assert standing(trusting(tmp_path, ROOT, crl__root_crl=crl), certificate) == "good"


def test_a_list_without_an_end_is_refused(tmp_path: Path) -> None:
    content = (Path(__file__).parent / "endless.crl").read_bytes()
    anchor = (Path(__file__).parent / "endless.pem").read_text(encoding="ascii")
    store(tmp_path, anchors__root_pem=anchor, crl__x_crl=content)
    with pytest.raises(ConfigurationError, match=r"x\.crl.*nextUpdate"):
        load_trust(tmp_path)


def test_one_voice_that_says_revoked_outweighs_all(tmp_path: Path) -> None:
    trust = trusting(
        tmp_path, ROOT, CERTIFICATE.serial_number, ocsp__a_der=ROOT.answer(CERTIFICATE)
    )
    assert standing(trust) == "revoked"
    assert trust.standing(CERTIFICATE, ROOT.certificate, at=NOW - timedelta(days=2)) == "unknown"


# --- until when statements are in force ---


def days(number: float) -> timedelta:
    return timedelta(days=number)


def test_the_first_statement_in_force_to_end_is_told(tmp_path: Path) -> None:
    below = ROOT.below()
    trust = trusting(
        tmp_path,
        ROOT,
        intermediates__below_pem=pem(below.certificate),
        crl__below_crl=below.crl(until=NOW + days(3)),
        ocsp__one_der=ROOT.answer(CERTIFICATE, until=NOW + days(4)),
    )
    assert trust.current_until(NOW) == NOW + days(3)
    assert trust.current_until(NOW + days(3.5)) == NOW + days(4)
    assert trust.current_until(NOW + days(5)) == NOW + days(6)


def test_where_no_statement_is_in_force_nothing_ends(tmp_path: Path) -> None:
    assert Trust().current_until(NOW) is None
    trust = trusting(tmp_path, ROOT)
    assert trust.current_until(NOW - days(1.5)) is None
    assert trust.current_until(NOW + days(6.5)) is None


def test_a_list_that_has_its_successor_beside_it_does_not_end_soon(tmp_path: Path) -> None:
    trust = trusting(tmp_path, ROOT, crl__next_crl=ROOT.crl(until=NOW + days(9)))
    assert trust.current_until(NOW) == NOW + days(9)


def test_an_answer_that_vouches_for_nobody_ends_nothing(tmp_path: Path) -> None:
    unknown = ROOT.answer(CERTIFICATE, status=ocsp.OCSPCertStatus.UNKNOWN, until=NOW + days(1))
    assert trusting(tmp_path, ROOT, ocsp__x_der=unknown).current_until(NOW) == NOW + days(6)
