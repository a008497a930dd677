"""A stand-in for AWS that speaks TLS, in a process of its own, so that its CPU time does not count as ours.

The process (`python -m tests.support.aws_stand_in <certificate>`) reads its table of answers from the first line of standard
input and writes its port. Each further line asks for the calls since the last one. It ends when standard input does: also when
its parent is killed.
"""

import asyncio
import contextlib
import json
import re
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, cast

import trustme

from tests.support.aws_answers import Answers, AwsAnswers

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *([A-Za-z0-9_.]+)", re.IGNORECASE)


class AwsStandIn:
    """A running stand-in; ``environment`` leads boto3 to it, with ``AWS_CA_BUNDLE`` the one certificate that vouches for it."""

    def __init__(self, process: subprocess.Popen[str], answers: Answers, ca_bundle: Path) -> None:
        self._stdin, self._stdout = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
        _say(json.dumps(answers), self._stdin)
        self.environment: Mapping[str, str] = {
            "AWS_ENDPOINT_URL": f"https://127.0.0.1:{int(self._stdout.readline())}",
            "AWS_CA_BUNDLE": str(ca_bundle),
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def calls(self) -> Counter[str]:
        """Return how many calls there were of each name since this was last asked."""
        _say("", self._stdin)
        return Counter(json.loads(self._stdout.readline()))


def _say(line: str, pipe: IO[str]) -> None:
    pipe.write(f"{line}\n")
    pipe.flush()


@contextlib.contextmanager
def aws_stand_in(answers: Answers) -> Iterator[AwsStandIn]:
    """Run a stand-in that gives these answers."""
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        ca_bundle, certificate = Path(folder, "ca.pem"), Path(folder, "certificate.pem")
        authority.cert_pem.write_to_path(ca_bundle)
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        command = [sys.executable, "-m", "tests.support.aws_stand_in", str(certificate)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own words
            try:
                yield AwsStandIn(process, answers, ca_bundle)
            finally:
                process.terminate()


class _Peer(asyncio.Protocol):
    """One connection, kept open. A client sends no second request before the first is answered."""

    def __init__(self, aws: AwsAnswers) -> None:
        self._aws = aws
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length, target = _LENGTH.search(head), _TARGET.search(head)
        if end and length and target and len(body) >= int(length[1]):
            self._received = b""
            status, answer = self._aws.answer(target[1].decode(), body)
            lines = f"HTTP/1.1 {status} \r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(answer)}\r\n\r\n"
            self._transport.write(lines.encode() + answer)


async def _serve(certificate: str) -> None:
    loop = asyncio.get_running_loop()
    next_line = partial(loop.run_in_executor, None, sys.stdin.readline)
    aws = AwsAnswers(json.loads(await next_line()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await loop.create_server(partial(_Peer, aws), "127.0.0.1", 0, ssl=context)
    _say(str(server.sockets[0].getsockname()[1]), sys.stdout)
    while await next_line():
        _say(json.dumps(aws.calls), sys.stdout)
        aws.calls.clear()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(*sys.argv[1:]))
