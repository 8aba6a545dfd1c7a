"""A small certification authority for one bridge: certificates for the broker, the daemon and each user, by `openssl`.

Keys are on elliptic curves (P-256) and readable by their owner only. What is there is never overwritten: whoever needs
a new certificate moves the old one away, and whoever is new gets one beside the others.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from drivers.errors import ConfigurationError, Unsupported

#: A CA outlives what it signs.
CA_DAYS = 3650

_LEAF = """basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def make_certificates(
    folder: Path,
    *,
    authority: str,
    daemon: str,
    users: Iterable[str],
    hosts: Iterable[str],
    days: int,
    page_hosts: Iterable[str] = (),
) -> list[Path]:
    """What is missing out of `ca`, `broker`, `web` (if the page has hosts), `daemon` and `users/<user>`, each a .pem
    and a .key in `folder`.

    `authority` is the CA's name, `daemon` the account that the daemon's certificate names, `hosts` are names and
    addresses of the broker, `days` is how long certificates are valid. Returns the files that were made. Raises
    `Unsupported` without `openssl`, `ConfigurationError` where only half of a pair is there.
    """
    program = shutil.which("openssl")
    if program is None:
        raise Unsupported(
            "certificates are made by the program openssl, which is not installed",
            hint="sudo apt install openssl; or put certificates of your own there.",
        )
    maker = _Maker(program, folder)
    maker.authority(authority)
    maker.leaf("broker", "broker", _server(hosts), days)
    if page_names := list(page_hosts):
        maker.leaf("web", "web", _server(page_names), days)
    client = f"{_LEAF}extendedKeyUsage = clientAuth\n"
    maker.leaf("daemon", daemon, client, days)
    (folder / "users").mkdir(mode=0o700, exist_ok=True)
    for user in users:
        maker.leaf(f"users/{user}", user, client, days)
    return maker.made


def _server(hosts: Iterable[str]) -> str:
    return f"{_LEAF}extendedKeyUsage = serverAuth\nsubjectAltName = {_names(hosts)}\n"


def _names(hosts: Iterable[str]) -> str:
    names = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(f"IP:{ipaddress.ip_address(host)}")
        except ValueError:
            names.append(f"DNS:{host}")
    return ", ".join(names)


class _Maker:
    def __init__(self, program: str, folder: Path) -> None:
        self.made: list[Path] = []
        self._program = program
        self._folder = folder

    def authority(self, name: str) -> None:
        if self._has("ca"):
            return
        extensions = "basicConstraints = critical, CA:TRUE, pathlen:0\nkeyUsage = critical, keyCertSign, cRLSign\n"
        with self._work(name, f"{extensions}subjectKeyIdentifier = hash\n") as work:
            self._openssl(work, "req", "-x509", *_NEW_KEY, "-out", "pem", "-days", str(CA_DAYS), "-extensions", "ext")
            self._keep(work, "ca")

    def leaf(self, file: str, name: str, extensions: str, days: int) -> None:
        if self._has(file):
            return
        if not (self._folder / "ca.key").exists():
            raise ConfigurationError(
                f"{self._folder / 'ca.key'} is not there: without it no certificate can be made for {name}",
                hint="Put it back for as long as this takes.",
            )
        with self._work(name, extensions) as work:
            self._openssl(work, "req", "-new", *_NEW_KEY, "-out", "request")
            signing = ("-CA", self._folder / "ca.pem", "-CAkey", self._folder / "ca.key")
            serial = ("-set_serial", f"0x{secrets.randbits(126) | 1 << 126:x}")
            extending = ("-extfile", "config", "-extensions", "ext")
            self._openssl(
                work, "x509", "-req", "-in", "request", *signing, *serial, *extending, "-days", str(days), "-out", "pem"
            )
            self._keep(work, file)

    def _has(self, file: str) -> bool:
        parts = [self._folder / f"{file}.{kind}" for kind in ("pem", "key")]
        there = [part.exists() for part in parts]
        if file == "ca" and there == [True, False]:
            return True  # its key is kept elsewhere
        if any(there) and not all(there):
            raise ConfigurationError(
                f"{parts[there.index(True)]} is there and {parts[there.index(False)]} is not; nothing is overwritten",
                hint="Move it away, or put the other one beside it.",
            )
        return all(there)

    def _work(self, name: str, extensions: str) -> tempfile.TemporaryDirectory[str]:
        work = tempfile.TemporaryDirectory(dir=self._folder, prefix=".making-")
        request = "[req]\ndistinguished_name = dn\nprompt = no\n"
        Path(work.name, "config").write_text(f"{request}[dn]\nCN = {name}\n[ext]\n{extensions}")
        return work

    def _openssl(self, work: str, *words: str | Path) -> None:
        done = subprocess.run([self._program, *words], cwd=work, capture_output=True, text=True, umask=0o077)
        if done.returncode:
            raise ConfigurationError(f"openssl {words[0]} failed: {done.stderr.strip()[-500:]}")

    def _keep(self, work: str, file: str) -> None:
        for kind, mode in (("key", 0o600), ("pem", 0o644)):
            made, path = Path(work, kind), self._folder / f"{file}.{kind}"
            made.chmod(mode)
            os.link(made, path)  # which overwrites nothing
            self.made.append(path)


_NEW_KEY = (
    *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-pkeyopt", "ec_param_enc:named_curve"),
    *("-nodes", "-keyout", "key", "-config", "config"),
)
