"""Composing: a run's letters before they are sealed, and the blank ones that a check compares.

What is sent is made of a compiled skeleton, a blank letter is encoded whole from what the template
renders: a fault of one way is not repeated by the other (ADR 0023). Identity, Message-ID and links
of a letter are keyed hashes of what makes it unique (TRK-05).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from reengage.campaigns import Campaign
from reengage.compose import Links, Parts, Skeleton, encode
from reengage.opt_outs import opt_out_token
from reengage.pipeline.run import Run
from reengage.templates import Rendered, Template, load_template

BLANK = "\N{FULL BLOCK}"
"""Before and after a field's name: what stands for it in the blank letter that a check compares."""
NOTICE = "portal"
"""Folder of the template that announces a letter at the portal."""


@dataclass(frozen=True)
class Wording:
    """What is said in one language: the letter, and the notice of one that waits at the portal."""

    letter: Template
    notice: Template | None


def wordings(run: Run) -> dict[str, Wording]:
    """By what `said_in` gives. Raises ConfigurationError when a template does not load."""
    home, has_portal = run.settings.home, run.practice.portal is not None
    return {
        said_in(language, variant): Wording(
            load_template(home, folder, language),
            load_template(home, NOTICE, language) if has_portal else None,
        )
        for variant, folder in run.campaign.folders().items()
        for language in run.campaign.languages
    }


def said_in(language: str, variant: str | None) -> str:
    """What a wording goes by: its language, and its variant where the template has two."""
    return f"{variant}/{language}" if variant else language


def blanks(campaign: Campaign) -> dict[str, str]:
    """A value for each field of the campaign that says nothing but which field it is."""
    return {name: f"{BLANK}{name}{BLANK}" for name in campaign.fields}


def letter_parts(
    run: Run, template: Template, declared: Mapping[str, str], recipient: str, identity: str
) -> Parts:
    """The letter for these formatted fields. `identity` is what `identity_of` gives."""
    return _parts(run, template, declared, links_of(run, identity), recipient, identity)


def notice_parts(
    run: Run, template: Template, portal_link: str, recipient: str, identity: str
) -> Parts:
    """The notice of a letter that waits at the portal: nothing of the patient."""
    links = links_of(run, identity, portal=portal_link)
    return _parts(run, template, {}, links, recipient, identity)


def render(run: Run, template: Template, declared: Mapping[str, str], links: Links) -> Rendered:
    """What the template says, by the template's own engine."""
    return template.render(
        declared,
        run.practice,
        opt_out_url=links.opt_out_url,
        opt_out_mailto=links.opt_out_mailto,
        portal_link=links.portal,
    )


def encoded(run: Run, rendered: Rendered, links: Links, recipient: str, identity: str) -> Parts:
    """A rendered letter, encoded whole."""
    return encode(rendered, links, practice=run.practice, **_named(run, recipient, identity))


def _parts(
    run: Run,
    template: Template,
    declared: Mapping[str, str],
    links: Links,
    recipient: str,
    identity: str,
) -> Parts:
    skeleton = Skeleton.of(template, run.practice)
    return skeleton.parts(declared, links, **_named(run, recipient, identity))


def _named(run: Run, recipient: str, identity: str) -> _Named:
    return {
        "recipient": recipient,
        "message_id": message_id(run, identity),
        "date": run.settings.now(),
    }


class _Named(TypedDict):
    recipient: str
    message_id: str
    date: datetime


def identity_of(campaign: str, patient: str, period: str) -> str:
    """What makes a letter unique: campaign, the patient's pseudonym, the period's."""
    return f"{campaign}/{patient}/{period}"


def links_of(run: Run, identity: str, *, portal: str | None = None) -> Links:
    """The letter's own links: its opt-out, one click and by e-mail (EML-04, EML-05), the portal."""
    token = opt_out_token(run.keyring, identity)
    return Links.of(run.practice, token, portal=portal)


def message_id(run: Run, identity: str) -> str:
    """Deterministic and free of PHI: a keyed hash of what makes the letter unique (TRK-05)."""
    return f"<{run.keyring.token('message-id', identity)}@{run.practice.message_id_domain}>"
