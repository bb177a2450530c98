"""A mail server and its mailbox: Debian's Postfix and Dovecot, on configurations of ours.

    with Mailhouse.running(certificates, {"p0@example.org": "5.1.1 User unknown"}) as house:
        ...              # house.relay_url takes letters, house.imap_url has what comes back

Postfix takes every letter, returns those whose recipient the next server rejects (a second port of
the same Postfix) and drops the others; what it returns is delivered to one Maildir, which Dovecot
serves over TLS. Nothing of the machine's own configuration, queue or log is touched. Both need root
and their packages' users.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reengage.embedded.certificates import Certificates
from reengage.embedded.processes import free_port, listens, wait_until

DOMAINS = "prairie.example.org, bounce.prairie.example.org"
PASSWORD = "only-for-this-test"
_SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{next_hop} inet n - n - - smtpd
  -o myhostname=mx.example.org -o smtpd_tls_security_level=none -o smtpd_relay_restrictions=
  -o smtpd_recipient_restrictions=check_recipient_access,texthash:{config}/rejected,reject
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def missing() -> str | None:
    """Why this cannot run here; None = it can."""
    if os.geteuid() != 0:
        return "Postfix and Dovecot of the test's own need root"
    for program, package in (("postfix", "postfix"), ("dovecot", "dovecot-imapd")):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            return f"{program} is not on this machine: apt-get install {package}"
    return None


@dataclass(frozen=True)
class Mailhouse:
    """The two servers."""

    base: Path
    relay_url: str
    imap_url: str

    @property
    def maildir(self) -> Path:
        """What came back."""
        return self.base / "mail" / "returns"

    def waiting(self) -> int:
        """Messages that came back and are not dealt with."""
        return sum(1 for part in ("new", "cur") for _ in (self.maildir / part).glob("*"))

    @classmethod
    @contextmanager
    def running(
        cls, certificates: Certificates, rejected: Mapping[str, str]
    ) -> Iterator[Mailhouse]:
        base = Path(tempfile.mkdtemp(prefix="reengage-mail-"))
        base.chmod(0o755)  # the servers' users pass through
        smtp, next_hop, imaps = free_port(), free_port(), free_port()
        try:
            _postfix(base, certificates, rejected, smtp, next_hop)
            _dovecot(base, certificates, imaps)
            with _started(base):
                url = f"imaps://returns:{PASSWORD}@localhost:{imaps}/INBOX"
                house = cls(base, f"smtp://localhost:{smtp}", url)
                for port in (smtp, imaps):
                    wait_until(lambda: listens(port), seconds=20, what=f"port {port}")  # noqa: B023
                yield house
        finally:
            shutil.rmtree(base, ignore_errors=True)


@contextmanager
def _started(base: Path) -> Iterator[None]:
    postfix = ["postfix", "-c", str(base / "postfix")]
    path = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    subprocess.run([*postfix, "start"], check=True, capture_output=True, env=path)
    try:
        dovecot = subprocess.Popen(
            ["dovecot", "-F", "-c", str(base / "dovecot.conf")], env=path,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            dovecot.terminate()
            dovecot.wait(10)
    finally:
        subprocess.run([*postfix, "stop"], check=False, capture_output=True, env=path)


def _postfix(
    base: Path, certificates: Certificates, rejected: Mapping[str, str], port: int, next_hop: int
) -> None:
    user = pwd.getpwnam("mail")
    config = base / "postfix"
    for directory in (config, base / "spool", base / "data", base / "mail"):
        directory.mkdir()
    shutil.chown(base / "data", "postfix")
    os.chown(base / "mail", user.pw_uid, user.pw_gid)
    transports = [f"{address} smtp:[127.0.0.1]:{next_hop}" for address in rejected]
    (config / "transport").write_text(
        "\n".join([*transports, "example.org discard:", ""]), encoding="utf-8"
    )
    replies = [f"{address} 550 {why}" for address, why in rejected.items()]
    (config / "rejected").write_text("\n".join([*replies, ""]), encoding="utf-8")
    (config / "mailboxes").write_text("/./ returns/\n", encoding="utf-8")
    (config / "main.cf").write_text(
        f"""compatibility_level = 3.6
queue_directory = {base}/spool
data_directory = {base}/data
maillog_file_prefixes = {base}
maillog_file = {base}/mail.log
myhostname = mx.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_cert_file = {certificates.cert}
smtpd_tls_key_file = {certificates.key}
smtpd_tls_security_level = encrypt
transport_maps = texthash:{config}/transport
virtual_mailbox_domains = {DOMAINS}
virtual_mailbox_maps = regexp:{config}/mailboxes
virtual_mailbox_base = {base}/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:{user.pw_uid}
virtual_gid_maps = static:{user.pw_gid}
alias_maps =
alias_database =
""",
        encoding="utf-8",
    )
    (config / "master.cf").write_text(
        _SERVICES.format(port=port, next_hop=next_hop, config=config), encoding="utf-8"
    )


def _dovecot(base: Path, certificates: Certificates, port: int) -> None:
    user = pwd.getpwnam("mail")
    (base / "dovecot.conf").write_text(
        f"""protocols = imap
listen = 127.0.0.1
base_dir = {base}/dovecot
state_dir = {base}/dovecot-state
log_path = {base}/dovecot.log
ssl = required
ssl_cert = <{certificates.cert}
ssl_key = <{certificates.key}
mail_location = maildir:{base}/mail/returns
first_valid_uid = 1
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={user.pw_uid} gid={user.pw_gid} home={base}/mail
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
  }}
}}
""",
        encoding="utf-8",
    )
