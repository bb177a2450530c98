"""The table: every kind of thing that is kept, for how long, why, and what removes it.

The only place that says so: `sweep` takes its terms from here, docs/retention.md is made of it, and
tests hold it against the rules, against the store's tables and against the settings' places. A
record that a rule holds for six years (45 CFR 164.316(b)(2)(i), 164.528(a), 164.530(j)(2)) has no
shorter term; of what no rule holds, less is kept (SEC-10).
"""

from __future__ import annotations

from dataclasses import dataclass

SIX_YEARS = 6
HELD_FOR_SIX_YEARS = ("SEC-19", "PRV-25")
"""Rules that hold a record of ours for six years from when it was last in effect; PRV-07 holds the
signed forms, which are the practice's.
"""


@dataclass(frozen=True)
class Term:
    """How long: years or days from an instant; neither = for good, or until that instant."""

    since: str = ""
    years: int = 0
    days: int = 0

    @property
    def for_good(self) -> bool:
        """Whether it never goes."""
        return not (self.since or self.years or self.days)

    @property
    def words(self) -> str:
        """As a person reads it."""
        if self.for_good:
            return "for good"
        if self.years or self.days:
            length = f"{self.years} years" if self.years else f"{self.days} days"
            return f"{length} {self.since}"
        return f"until {self.since}"


FOR_GOOD = Term()
IN_EFFECT = Term("from when the last letter of its month was in effect", years=SIX_YEARS)
FOLLOWED = Term("from when the last follow-up of its month was asked about", years=SIX_YEARS)


@dataclass(frozen=True)
class Kept:
    """One row."""

    name: str
    """What sweeps count it under."""
    what: str
    term: Term
    why: str
    rules: tuple[str, ...]
    by: str
    """What removes it."""
    tables: tuple[str, ...] = ()
    """Of the store."""
    settings: tuple[str, ...] = ()
    """Whose places they are."""


SWEEP = "`reengage_retention`"
TEND = "`portal tend`"
TIDY = "`tidy` in containers and on Kubernetes"
_NOBODY = "nothing"

TABLE: tuple[Kept, ...] = (
    Kept("decisions", "decisions, sealed by the month", IN_EFFECT,
         "why somebody was written to, or not", ("SEC-19",),
         f"{SWEEP}: the month's key, then its partition", ("decision",)),
    Kept("letters", "letters: pseudonyms, state, evidence", IN_EFFECT,
         "the accounting of disclosures reads them beside the ledger", ("SEC-19", "PRV-25"),
         f"{SWEEP}; never one that is open or `unknown`", ("letter",)),
    Kept("runs", "runs with their reports, pauses and watches", IN_EFFECT,
         "what a decision and a letter belong to", ("SEC-19",), SWEEP,
         ("run", "run_report", "watch", "pause")),
    Kept("steps", "how long each task took", Term("from its end", days=400),
         "a year's comparison; the ledger has the task itself", (), SWEEP, ("step",)),
    Kept("beginnings", "that runs began, and how their preflight ended",
         Term("from when it began", days=400),
         "a year's comparison; a campaign's newest live one stays", (), SWEEP, ("beginning",)),
    Kept("batches", "sealed batches of runs",
         Term("from when the run's key was destroyed", days=30),
         "unreadable since", ("SEC-10", "SEC-14"), SWEEP, ("batch_part",)),
    Kept("sealed_letters", "sealed content of letters",
         Term("from when the run's key was destroyed", days=30),
         "unreadable since", ("SEC-10", "SEC-14"), f"{SWEEP}: emptied, the row stays"),
    Kept("rehearsals", "letters of dry runs and replays, in the store",
         Term("from when they were composed", days=90), "no disclosure", (), SWEEP),
    Kept("rehearsed_files", "letters of dry runs and replays, in the clear",
         Term("from when they were written", days=7), "PHI that only staff looks at",
         ("SEC-10",), SWEEP, settings=("REHEARSAL_MAILDIR",)),
    Kept("refused_events", "vendors' events whose signature did not hold",
         Term("from when they were put aside", days=90), "somebody may want to look",
         ("SEC-17",), SWEEP, settings=("RETURNS_SPOOL",)),
    Kept("returned", "messages that came back, in mailbox and spool", Term("they are read"),
         "they hold PHI; people's own messages go to the practice's folder", ("SEC-10",),
         "`reengage_responses`", settings=("RETURNS_IMAP", "RETURNS_MAILDIR")),
    Kept("follow_ups", "who was followed, and what became of them", FOLLOWED,
         "a past day's report can be made again", ("SEC-19",), SWEEP, ("follow_up", "outcome")),
    Kept("follow_up_keys", "which patients follow-ups are of", Term("the last day to ask is over"),
         "nobody needs to be asked about them again", ("SEC-10",), "`reengage_outcomes`",
         ("follow_up_key",)),
    Kept("reports", "who and what came back: counts", FOR_GOOD, "nothing of a patient", (), _NOBODY,
         ("came_back", "outcome_day", "report.published", "report.told", "report.outcome",
          "report.effect", "report.return_curve", "report.experiment", "experiment_stop")),
    Kept("refusals", "revocations, opt-outs, restrictions, preferences, and their journal",
         FOR_GOOD, "a refusal has no end", ("PRV-06", "EML-26", "SEC-08"), _NOBODY,
         ("revocation", "opt_out", "restriction", "preference", "refusal_mark"),
         ("JOURNAL",)),
    Kept("suppressions", "suppressions and their journal", FOR_GOOD,
         "what was lifted stays lifted, what was found stays found", ("PRV-23", "SEC-08"),
         _NOBODY, ("suppression", "suppression_mark")),
    Kept("responses", "what came back: kinds, codes, keyed digests", FOR_GOOD,
         "the same message is read once", ("EML-10",), _NOBODY, ("response",)),
    Kept("opt_out_links", "what the links of letters lead to",
         Term("from when the letter left", years=SIX_YEARS),
         "a link goes on opting out", ("EML-26",), f"{SWEEP}, {TEND}, each `settle`; not counted",
         ("opt_out_link",)),
    Kept("portal_messages", "ciphertexts of letters at the portal",
         Term("the days of practice.yaml (`portal.valid_days`) are over"),
         "the patient's to read; afterwards the practice's record has it", ("SEC-10",),
         f"{SWEEP}, {TEND}", ("portal_message",)),
    Kept("portal_sessions", "sessions of the portal", Term("their minutes are over"),
         "a right answer opens once", ("SEC-13",), TEND, ("portal_session",)),
    Kept("portal_pace", "how often an address of the network asked, or tried to log in",
         Term("from its window's begin", days=1), "a bound on guessing", (), TEND,
         ("portal_pace",)),
    Kept("portal_guesses", "wrong answers by letter",
         Term("from the last one", days=91), "a lock outlives the letter", ("SEC-06",), TEND,
         ("portal_guess",)),
    Kept("portal_mail", "the portal's own messages, sealed",
         Term("from when they were offered", days=7), "without PHI; their address is emptied",
         ("SEC-10",), TEND, ("portal_mail",)),
    Kept("portal_addresses", "addresses that patients asked for, sealed", FOR_GOOD,
         "as long as letters go there; one never confirmed goes after 7 days", ("PRV-21",), TEND,
         ("portal_address",)),
    Kept("incidents", "incidents at the portal",
         Term("from when the incident was closed", years=SIX_YEARS), "incidents are documented",
         ("SEC-07", "SEC-19"), f"{SWEEP}, with their letter, which waits for them",
         ("portal_incident",)),
    Kept("lost_letters", "letters known by Message-ID since a restore", FOR_GOOD,
         "none of them is sent again", ("SEC-08",), _NOBODY,
         ("lost_letter", "restoration", "store_home")),
    Kept("approvals", "approvals, pauses of campaigns, complaints that a person went on after",
         FOR_GOOD, "what somebody decided goes on counting; the ledger has it, too",
         ("SEC-19",), _NOBODY, ("approval", "campaign_pause", "complaints_seen")),
    Kept("alerts", "what staff were told of and asked, and who took it", FOR_GOOD,
         "the same news is told once; codes only, a row an event", (), _NOBODY,
         ("alert", "alert_channel", "question")),
    Kept("owed", "records that the ledger is owed", Term("somebody records next"),
         "none is lost with the transaction that failed", ("SEC-15",), "whoever records next",
         ("ledger_owed",)),
    Kept("ledger", "the ledger, its archive and its checkpoints", FOR_GOOD,
         "a tree that loses leaves proves nothing", ("LOG-11", "SEC-19", "PRV-25"), _NOBODY,
         ("ledger_entry", "ledger_head", "ledger_mirror"), ("ARCHIVE", "CHECKPOINTS")),
    Kept("state", "one row each: keyring's mark, incarnation, pace, accepted norms", FOR_GOOD,
         "what tasks go by now", (), _NOBODY,
         ("keyring", "incarnation", "pace", "norm_accepted", "alembic_version")),
    Kept("run_keys", "data keys of runs", Term("no open letter needs them"),
         "shred", ("SEC-14",), "`shred`, of each run", settings=("KEYRING",)),
    Kept("month_keys", "keys of months", IN_EFFECT, "with their decisions", ("SEC-19",), SWEEP),
    Kept("dumps", "dumps of the store", Term("from when they were taken", days=35),
         "a dump holds what retention removed since", ("SEC-08", "SEC-10"),
         "`backup`, each time"),
    Kept("airflow_logs", "Airflow's task logs", Term("from when they were written", days=90),
         "counts and codes; the audit is the ledger's", (),
         f"{TIDY}, or whoever runs Airflow, see below"),
    Kept("parsing_logs", "what Airflow's dag-processor says while it reads the DAGs",
         Term("from when it was written", days=7), "ten megabytes a day; why a DAG does not load",
         (), f"{TIDY}, or whoever runs Airflow, see below"),
    Kept("airflow_rows", "Airflow's database: tries, XCom", Term("from when they ended", days=90),
         "`reconcile` compares tries with the ledger daily", ("SEC-10",),
         "whoever runs Airflow, see below"),
    Kept("airflow_audit", "Airflow's audit log: who did what in it",
         Term("from when it was written", years=SIX_YEARS),
         "who triggered, cleared or marked a task, which the ledger does not name", ("SEC-19",),
         "whoever runs Airflow, see below"),
    Kept("exports", "accountings and other files of commands", Term("who asked for them has them"),
         "the practice's own records from then on: six years (PRV-25); the ledger that they are"
         " made of stays", (), "who ran the command"),
)  # fmt: skip


def kept(name: str) -> Kept:
    """The row of this name."""
    return next(one for one in TABLE if one.name == name)
