"""Validation of a resource: the only module that knows fhir.resources, which takes long to import.

Its package R4B holds the models: FHIR 4.3 changed nothing in the resources read here, and the
package for 4.0 itself was given up by its makers. The models quote their input in their messages;
only place and kind of a fault are taken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ValidationError

from reengage.sources.fhir_element import BASE, Element

_WORDS = {
    "extra_forbidden": "holds an element that R4 does not know; remove it",
    "missing": "missing; fill it",
    "model_field_validation.missing": "missing; fill it",
}
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "email-verified": ("Patient.telecom", "RelatedPerson.telecom"),
    "email-bounced": ("Patient.telecom",),
    "confidential-channel": ("Patient.telecom", "Patient.address"),
    "representative-blocked": ("RelatedPerson",),
    "representative-limited": ("RelatedPerson",),
    **{
        f"consent-{name}": ("Consent",)
        for name in (
            "information", "discloser", "recipient", "purpose", "expires-event", "event-at",
            "notice-revocation", "notice-conditioning", "notice-redisclosure", "compound",
            "conditioned", "remuneration-stated", "known-false", "revoked",
        )
    },
}  # fmt: skip
"""Our extensions and the elements that may carry them."""


def require_valid(resource: Element, type_: str) -> None:
    """Raise SourceDataError for the first thing that R4 does not allow."""
    try:
        _model(type_).model_validate(resource.content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _fault(resource, first["loc"], first["type"]) from None
    except (KeyError, LookupError, TypeError, ValueError):
        raise resource.fault("", "not valid in R4, perhaps in `contained`; mend it") from None


@lru_cache(maxsize=32)
def _model(type_: str) -> type[BaseModel]:
    from fhir.resources.R4B import get_fhir_model_class

    model: type[BaseModel] = get_fhir_model_class(type_)
    return model


def _fault(resource: Element, loc: tuple[int | str, ...], kind: str) -> Exception:
    known = loc[:-1] if kind == "extra_forbidden" else loc  # what has no name in R4 may be a value
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in known)
    return resource.fault(path.lstrip("."), _WORDS.get(kind, f"not valid in R4 ({kind}); mend it"))


def require_known_meaning(resource: Element) -> None:
    """Raise SourceDataError where something changes the meaning in a way that is not known here.

    A modifier extension may turn a resource into its opposite; an extension of ours that is
    misspelt or misplaced would be passed over, and with it a revocation.
    """
    _walk(resource, resource.content, resource.path)


def _walk(resource: Element, value: Any, path: str) -> None:
    if isinstance(value, list):
        for one in value:
            _walk(resource, one, path)
    elif isinstance(value, dict):
        for name, below in value.items():
            if isinstance(below, list | dict):
                _walk(resource, below, f"{path}.{name}")
            elif name == "url" and isinstance(below, str) and below.startswith(BASE):
                carrier = path.removesuffix(".extension")
                if carrier not in EXTENSIONS.get(below.removeprefix(BASE), ()):
                    raise resource.fault(
                        "extension", "one of ours that is misspelt, or in a wrong place; mend it"
                    )
            if name in ("modifierExtension", "implicitRules"):
                raise resource.fault(name, "changes what is meant in a way that is not known here")
