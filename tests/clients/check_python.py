"""Python's HTTP clients: requests and httpx, with kept connections, streams, and HTTP/2 with prior knowledge."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import requests

from session import check

BODY = bytes(range(256)) * 4_000
SHA256 = hashlib.sha256(BODY).hexdigest()


def pieces():
    for at in range(0, len(BODY), 7_777):
        yield BODY[at : at + 7_777]


@check("requests: one session, many requests")
def session_of_requests(sent):
    with requests.Session() as session:
        session.trust_env = False
        for kind in ["node", "gunicorn"]:
            for at in range(50):
                answer = session.get(sent.url(kind, f"/echo?{at}"), headers=sent.headers(), timeout=30)
                assert answer.json()["url"] == f"/echo?{at}"
                assert float(answer.headers["X-Response-Time"].removesuffix("ms")) >= 0
            answer = session.get(sent.url(kind, "/status/418"), headers=sent.headers(418), timeout=30)
            assert answer.status_code == 418


@check("requests: uploads with a length and in chunks, answers in chunks")
def bodies_of_requests(sent):
    with requests.Session() as session:
        session.trust_env = False
        for kind in ["node", "gunicorn"]:
            for data in [BODY, pieces()]:
                headers = sent.headers(request_bytes=len(BODY))
                answer = session.post(sent.url(kind, "/echo"), data=data, headers=headers, timeout=30)
                assert answer.json()["sha256"] == SHA256
        answer = session.get(sent.url("gunicorn", "/stream/1000"), headers=sent.headers(), timeout=30)
        assert answer.text == "".join(f"piece {at}\n" for at in range(1_000))


@check("requests: sixteen threads")
def threads(sent):
    names = [sent.headers() for _ in range(320)]
    url = sent.url("gunicorn", "/echo")
    with requests.Session() as session, ThreadPoolExecutor(16) as threads:
        session.trust_env = False
        statuses = threads.map(lambda headers: session.get(url, headers=headers, timeout=30).status_code, names)
        assert set(statuses) == {200}


@check("httpx: HTTP/1.1")
def httpx_1(sent):
    with httpx.Client(trust_env=False, timeout=30) as client:
        for at in range(50):
            answer = client.get(sent.url("node", f"/bytes/{at}"), headers=sent.headers(response_bytes=at))
            assert (len(answer.content), answer.http_version) == (at, "HTTP/1.1")
        answer = client.post(sent.url("node", "/echo"), content=pieces(), headers=sent.headers(protocol="HTTP/1.1"))
        assert answer.json()["sha256"] == SHA256


@check("httpx: HTTP/2 with prior knowledge")
def httpx_2(sent):
    with httpx.Client(http1=False, http2=True, trust_env=False, timeout=30) as client:
        for kind in ["node", "gunicorn"]:
            for at in range(30):
                answer = client.get(sent.url(kind, f"/echo?{at}"), headers=sent.headers(protocol="HTTP/2"))
                assert (answer.json()["url"], answer.http_version) == (f"/echo?{at}", "HTTP/2")
            for content in [BODY, pieces()]:
                answer = client.post(
                    sent.url(kind, "/echo"), content=content, headers=sent.headers(request_bytes=len(BODY))
                )
                assert answer.json()["sha256"] == SHA256


@check("httpx: HTTP/2, many at once on one connection")
def httpx_2_at_once(sent):
    # Its connection of HTTP/2 is not made for threads: tasks instead.
    async def run():
        async with httpx.AsyncClient(http1=False, http2=True, trust_env=False, timeout=30) as client:
            asks = [client.get(sent.url("node", "/echo"), headers=sent.headers(protocol="HTTP/2")) for _ in range(160)]
            return {answer.status_code for answer in await asyncio.gather(*asks)}

    assert asyncio.run(run()) == {200}


@check("httpx: leaves in the middle of an answer")
def leaves(sent):
    with httpx.Client(trust_env=False, timeout=30) as client:
        headers = sent.headers(error="client_disconnect")
        with client.stream("GET", sent.url("node", "/bytes/50000000"), headers=headers) as answer:
            next(answer.iter_raw())
        # The proxy and the service live on.
        assert client.get(sent.url("node", "/echo"), headers=sent.headers()).status_code == 200
